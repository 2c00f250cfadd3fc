//! `CollectorService` on the network.
//!
//! `Subscribe` and `Query` hand on events as the bytes that are stored; the other methods are served by the generated code.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::task::{Context, Poll};

use futures_util::Stream;
use mcp_sensor_proto::v1::collector_service_server::{CollectorService, CollectorServiceServer};
use mcp_sensor_proto::v1::subscribe_request::Start as AskedStart;
use mcp_sensor_proto::v1::{
    GetSessionRequest, GetSessionResponse, ListSensorsRequest, ListSensorsResponse, ListSessionsRequest, ListSessionsResponse,
    QueryRequest, QueryResponse, SubscribeRequest, SubscribeResponse,
};
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::refusals::{Reason, Refusals};
use crate::event::Filter;
use crate::event::keys::nanoseconds;
use crate::event::wire::{Item, ItemCodec, RawQueryResponse, RawStoredEvent};
use crate::ingest::stream::Ingest;
use crate::live::subscription::Counted;
use crate::live::{Log, Start, Subscription};
use crate::store::{PageRequest, Store, StoreError};

/// Bytes of a request at most.
const REQUEST: usize = 1024 * 1024;

/// Events of a page where nothing else is asked for.
const PAGE: u32 = 100;

/// Events of a page at most.
const MAX_PAGE: u32 = 1_000;

/// What the service needs.
pub struct Collector {
    /// The newest events.
    pub log: Arc<Log>,
    /// The stored events.
    pub store: Store,
    /// The sensors.
    pub ingest: Arc<Ingest>,
    /// What was refused.
    pub refusals: Arc<Refusals>,
    /// Subscribers at the moment.
    pub subscribers: Arc<AtomicU32>,
    /// When the collector started, in nanoseconds since 1970.
    pub started: i64,
    /// It stops.
    pub stop: CancellationToken,
}

/// A page of something, as asked for.
pub(super) fn page_size(asked: u32) -> usize {
    if asked == 0 { PAGE as usize } else { asked.min(MAX_PAGE) as usize }
}

impl Collector {
    /// Refuses a request that cannot be understood.
    pub(super) fn bad(&self, message: impl Into<String>) -> Status {
        self.refusals.refuse(Reason::BadRequest, message)
    }

    pub(super) fn filter(&self, filter: Option<&mcp_sensor_proto::v1::Filter>) -> Result<Filter, Status> {
        Filter::new(filter).map_err(|error| self.bad(error.to_string()))
    }

    pub(super) fn time(&self, name: &str, time: Option<&prost_types::Timestamp>) -> Result<Option<i64>, Status> {
        let Some(time) = time else { return Ok(None) };
        nanoseconds(time).map(Some).ok_or_else(|| self.bad(format!("{name} is no time between 1678 and 2262")))
    }

    fn subscribe(&self, request: &SubscribeRequest) -> Result<Subscription, Status> {
        let filter = self.filter(request.filter.as_ref())?;
        let start = match &request.start {
            None => Start::Now,
            Some(AskedStart::From(time)) => Start::From(self.time("from", Some(time))?.unwrap_or(i64::MIN)),
            Some(AskedStart::AfterCursor(cursor)) => {
                let (deleted, head) = (self.store.deleted(), self.log.head());
                if (*cursor < deleted || *cursor > head) && !request.allow_gap {
                    let why = if *cursor < deleted { "what came after it was deleted" } else { "it was never given" };
                    return Err(Status::out_of_range(format!("cursor {cursor}: {why}; set allow_gap to begin with what is there")));
                }
                // One that was never given is of another collector's, or of a store that is gone.
                Start::After(if *cursor > head { 0 } else { *cursor })
            }
        };
        let limit = self.ingest.limits.subscribers;
        let counted = Counted::new(&self.subscribers, limit)
            .ok_or_else(|| self.refusals.refuse(Reason::TooManySubscribers, format!("there are {limit} subscribers already")))?;
        Ok(Subscription::new(Arc::clone(&self.log), self.store.clone(), filter, start, self.stop.clone(), counted))
    }

    async fn query(&self, request: &QueryRequest) -> Result<RawQueryResponse, Status> {
        let fingerprint = fingerprint(&QueryRequest { page_token: String::new(), page_size: 0, ..request.clone() }.encode_to_vec());
        let place = match request.page_token.as_str() {
            "" => None,
            token => Some(parse_token(token, fingerprint).ok_or_else(|| self.bad("page_token is not of this query"))?),
        };
        let descending = request.descending;
        let page = PageRequest {
            filter: Arc::new(self.filter(request.filter.as_ref())?),
            from: self.time("from", request.from.as_ref())?,
            to: self.time("to", request.to.as_ref())?,
            after: if descending { 0 } else { place.unwrap_or(0) },
            before: if descending { place.unwrap_or(u64::MAX) } else { u64::MAX },
            limit: page_size(request.page_size),
            descending,
        };
        let page = self.store.page(page).await.map_err(|error| unreadable(&error))?;
        let events = page.events.into_iter().map(|(cursor, event)| RawStoredEvent { event, cursor }).collect();
        let next_page_token = page.next.map_or_else(String::new, |next| format!("{next:x}-{fingerprint:016x}"));
        Ok(RawQueryResponse { events, next_page_token })
    }
}

/// The status where the store cannot be read.
pub(super) fn unreadable(error: &StoreError) -> Status {
    if let StoreError::TooLong(_) = error {
        return Status::deadline_exceeded(format!("{error}; ask for a shorter time, a node or a tool, or for more of the text"));
    }
    tracing::error!(error = %error, "the store cannot be read");
    Status::internal("the store cannot be read; the collector's log tells why")
}

/// What a page token belongs to.
pub(super) fn fingerprint(request: &[u8]) -> u64 {
    use std::hash::Hasher as _;
    let mut hasher = rustc_hash::FxHasher::default();
    hasher.write(request);
    hasher.finish()
}

fn parse_token(token: &str, fingerprint: u64) -> Option<u64> {
    let (place, of) = token.split_once('-')?;
    (u64::from_str_radix(of, 16).ok()? == fingerprint).then(|| u64::from_str_radix(place, 16).ok()).flatten()
}

#[tonic::async_trait]
impl CollectorService for Collector {
    type SubscribeStream = Pin<Box<dyn Stream<Item = Result<SubscribeResponse, Status>> + Send>>;

    async fn subscribe(&self, _: Request<SubscribeRequest>) -> Result<Response<Self::SubscribeStream>, Status> {
        // Served by `CollectorServer`.
        Err(Status::unimplemented("Subscribe"))
    }

    async fn query(&self, _: Request<QueryRequest>) -> Result<Response<QueryResponse>, Status> {
        // Served by `CollectorServer`.
        Err(Status::unimplemented("Query"))
    }

    async fn list_sessions(&self, request: Request<ListSessionsRequest>) -> Result<Response<ListSessionsResponse>, Status> {
        self.sessions(request.into_inner()).await.map(Response::new)
    }

    async fn get_session(&self, request: Request<GetSessionRequest>) -> Result<Response<GetSessionResponse>, Status> {
        self.session(request.into_inner()).await.map(Response::new)
    }

    async fn list_sensors(&self, _: Request<ListSensorsRequest>) -> Result<Response<ListSensorsResponse>, Status> {
        self.sensors().await.map(Response::new)
    }
}

/// The service on the network.
#[derive(Clone)]
pub struct CollectorServer {
    collector: Arc<Collector>,
    others: CollectorServiceServer<Collector>,
}

impl CollectorServer {
    /// Serves `collector`.
    #[must_use]
    pub fn new(collector: Arc<Collector>) -> Self {
        let others = CollectorServiceServer::from_arc(Arc::clone(&collector))
            .max_decoding_message_size(REQUEST)
            .accept_compressed(CompressionEncoding::Zstd)
            .send_compressed(CompressionEncoding::Zstd);
        Self { collector, others }
    }
}

impl NamedService for CollectorServer {
    const NAME: &'static str = "mcp_sensor.v1.CollectorService";
}

struct Subscribe(Arc<Collector>);

impl ServerStreamingService<SubscribeRequest> for Subscribe {
    type Response = Item;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<Item, Status>> + Send>>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<SubscribeRequest>) -> Self::Future {
        let subscription = self.0.subscribe(request.get_ref());
        Box::pin(async move {
            let stream: Self::ResponseStream = Box::pin(subscription?.into_stream());
            Ok(Response::new(stream))
        })
    }
}

struct Query(Arc<Collector>);

impl UnaryService<QueryRequest> for Query {
    type Response = RawQueryResponse;
    type Future = BoxFuture<Response<RawQueryResponse>, Status>;

    fn call(&mut self, request: Request<QueryRequest>) -> Self::Future {
        let collector = Arc::clone(&self.0);
        Box::pin(async move { collector.query(request.get_ref()).await.map(Response::new) })
    }
}

impl Service<http::Request<Body>> for CollectorServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let collector = Arc::clone(&self.collector);
        match request.uri().path() {
            "/mcp_sensor.v1.CollectorService/Subscribe" => Box::pin(async move {
                let mut grpc = Grpc::new(ItemCodec)
                    .max_decoding_message_size(REQUEST)
                    .accept_compressed(CompressionEncoding::Zstd)
                    .send_compressed(CompressionEncoding::Zstd);
                Ok(grpc.server_streaming(Subscribe(collector), request).await)
            }),
            "/mcp_sensor.v1.CollectorService/Query" => Box::pin(async move {
                let mut grpc = Grpc::new(ProstCodec::<RawQueryResponse, QueryRequest>::default())
                    .max_decoding_message_size(REQUEST)
                    .accept_compressed(CompressionEncoding::Zstd)
                    .send_compressed(CompressionEncoding::Zstd);
                Ok(grpc.unary(Query(collector), request).await)
            }),
            _ => self.others.call(request),
        }
    }
}
