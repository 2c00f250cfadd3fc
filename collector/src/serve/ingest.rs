//! `IngestService` on the network: the generated service's place, with events left encoded.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use super::guard::Who;
use crate::event::wire::RawConnectRequest;
use crate::ingest::stream::{Answer, Ingest};
use mcp_sensor_proto::v1::ConnectResponse;

/// Bytes of a frame beside its events.
const FRAME: u64 = 64 * 1024;

/// The service.
#[derive(Clone)]
pub struct IngestServer(pub Arc<Ingest>);

impl NamedService for IngestServer {
    const NAME: &'static str = "mcp_sensor.v1.IngestService";
}

struct Connect(Arc<Ingest>);

impl StreamingService<RawConnectRequest> for Connect {
    type Response = ConnectResponse;
    type ResponseStream = ReceiverStream<Answer>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<Streaming<RawConnectRequest>>) -> Self::Future {
        let who = request.extensions().get::<Who>().map_or_else(String::new, |who| who.0.clone());
        let answers = Arc::clone(&self.0).connect(request.into_inner(), who);
        Box::pin(async move { Ok(Response::new(ReceiverStream::new(answers))) })
    }
}

impl Service<http::Request<Body>> for IngestServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() != "/mcp_sensor.v1.IngestService/Connect" {
            return Box::pin(async { Ok(Status::unimplemented("no such method").into_http()) });
        }
        let ingest = Arc::clone(&self.0);
        let largest = ingest.limits.event_bytes.max(ingest.limits.batch_bytes) + FRAME;
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<ConnectResponse, RawConnectRequest>::default())
                .max_decoding_message_size(usize::try_from(largest).unwrap_or(usize::MAX))
                .accept_compressed(CompressionEncoding::Zstd);
            Ok(grpc.streaming(Connect(ingest), request).await)
        })
    }
}
