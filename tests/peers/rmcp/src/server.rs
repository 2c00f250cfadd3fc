//! The server.

#![allow(deprecated, reason = "the SDK deprecates what only the handshake era has, which is to be tested")]

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ElicitRequest, ElicitRequestParams, ErrorCode,
    ErrorData, Implementation, InputRequest, InputRequests, InputRequiredResult, ListResourcesResult, ListToolsResult,
    LoggingLevel, LoggingMessageNotificationParam, PaginatedRequestParams, ProgressNotificationParam, ProtocolVersion,
    ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, Resource, ResourceContents,
    ResourceUpdatedNotificationParam, ServerCapabilities, ServerConfig, SetLevelRequestParams, SubscribeRequestParams,
    SubscriptionFilter, Tool, UnsubscribeRequestParams,
};
use rmcp::service::{RequestContext, RoleServer, ServiceError, SubscriptionContext, SubscriptionSink};
use rmcp::{ServerHandler, ServiceExt as _};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::content::{DOCUMENT_TEXT, DOCUMENT_URI, numbers};
use crate::truth::TruthLog;

#[derive(Clone, Default)]
struct TestServer {
    /// The open `subscriptions/listen` streams (modern era).
    sinks: Arc<Mutex<Vec<SubscriptionSink>>>,
    /// How many were accepted, and how many of these have had their sink since. In between, the client has its acknowledgment already.
    accepted: Arc<AtomicUsize>,
    opened: Arc<AtomicUsize>,
}

/// Name, description, and the one argument with its type.
const TOOLS: [(&str, &str, Option<(&str, &str)>); 10] = [
    ("echo", "Returns the text.", Some(("text", "string"))),
    ("big", "Returns so many bytes of text.", Some(("size", "integer"))),
    ("sink", "Returns the length of the data.", Some(("data", "string"))),
    ("slow", "Answers after so many milliseconds.", Some(("ms", "integer"))),
    ("fail", "Fails as a tool fails.", None),
    ("error", "Fails as a request fails.", None),
    ("progress", "Reports progress so many times.", Some(("steps", "integer"))),
    ("notify", "Sends so many log notifications.", Some(("count", "integer"))),
    ("ask", "Asks the user for a name, as the era has it.", None),
    ("touch", "Says that the document changed.", None),
];

fn text(value: impl Into<String>) -> Result<CallToolResponse, ErrorData> {
    Ok(CallToolResult::success(vec![ContentBlock::text(value.into())]).into())
}

fn internal(error: impl std::fmt::Display) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}

fn who() -> Result<ElicitRequestParams, ErrorData> {
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]});
    Ok(ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: "What is your name?".into(),
        requested_schema: serde_json::from_value(schema).map_err(internal)?,
    })
}

impl TestServer {
    async fn ask(&self, request: &CallToolRequestParams, context: &RequestContext<RoleServer>) -> Result<CallToolResponse, ErrorData> {
        if is_modern(context) {
            let answer = request.input_responses.as_ref().and_then(|responses| responses.get("who"));
            if let Some(name) = answer.and_then(|answer| answer["content"]["name"].as_str()) {
                return text(format!("hello {name}"));
            }
            let mut requests = InputRequests::new();
            requests.insert("who".into(), InputRequest::Elicitation(ElicitRequest::new(who()?)));
            return Ok(InputRequiredResult::new(Some(requests), None).into());
        }
        let answer = context.peer.create_elicitation(who()?).await.map_err(internal)?;
        let name = answer.content.as_ref().and_then(|content| content["name"].as_str());
        text(format!("hello {}", name.unwrap_or_default()))
    }

    async fn touch(&self, context: &RequestContext<RoleServer>) -> Result<CallToolResponse, ErrorData> {
        if is_modern(context) {
            let deadline = Instant::now() + Duration::from_secs(1);
            while self.opened.load(Ordering::SeqCst) < self.accepted.load(Ordering::SeqCst) && Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let sinks = self.sinks.lock().expect("not poisoned").clone();
            for sink in sinks {
                // A subscription that has ended since is none of the caller's business.
                let _ = sink.notify_resource_updated(DOCUMENT_URI).await;
            }
        } else {
            let changed = ResourceUpdatedNotificationParam::new(DOCUMENT_URI);
            context.peer.notify_resource_updated(changed).await.map_err(internal)?;
        }
        text("touched")
    }
}

fn is_modern(context: &RequestContext<RoleServer>) -> bool {
    context.protocol_version().is_some_and(|version| version >= ProtocolVersion::V_2026_07_28)
}

async fn progress(steps: u64, context: &RequestContext<RoleServer>) -> Result<(), ServiceError> {
    let Some(token) = context.meta.get_progress_token() else { return Ok(()) };
    for step in 1..=steps {
        let update = ProgressNotificationParam::new(token.clone(), step as f64)
            .with_total(steps as f64)
            .with_message(format!("step {step}"));
        context.peer.notify_progress(update).await?;
    }
    Ok(())
}

async fn notify(count: u64, context: &RequestContext<RoleServer>) -> Result<(), ServiceError> {
    if is_modern(context) && context.meta.log_level().is_none() {
        return Ok(());
    }
    for number in 1..=count {
        let note = LoggingMessageNotificationParam::new(LoggingLevel::Info, json!(format!("note {number}")));
        context.peer.notify_logging_message(note).await?;
    }
    Ok(())
}

impl ServerHandler for TestServer {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_logging()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_tools()
            .build();
        ServerConfig::new(capabilities).with_server_info(Implementation::new("peer-rmcp", "1.0.0"))
    }

    async fn list_tools(&self, _: Option<PaginatedRequestParams>, _: RequestContext<RoleServer>) -> Result<ListToolsResult, ErrorData> {
        let tools = TOOLS.map(|(name, description, argument)| {
            let schema = match argument {
                Some((argument, kind)) => {
                    json!({"type": "object", "properties": {argument: {"type": kind}}, "required": [argument]})
                }
                None => json!({"type": "object", "properties": {}}),
            };
            let Value::Object(schema) = schema else { unreachable!() };
            Tool::new(name, description, schema)
        });
        Ok(ListToolsResult::with_all_items(tools.into()))
    }

    async fn call_tool(&self, request: CallToolRequestParams, context: RequestContext<RoleServer>) -> Result<CallToolResponse, ErrorData> {
        let argument = |name: &str| request.arguments.as_ref().and_then(|arguments| arguments.get(name));
        let number = |name: &str| {
            argument(name).and_then(Value::as_u64).ok_or_else(|| ErrorData::invalid_params(format!("{name} is missing"), None))
        };
        let string = |name: &str| {
            argument(name).and_then(Value::as_str).ok_or_else(|| ErrorData::invalid_params(format!("{name} is missing"), None))
        };
        match request.name.as_ref() {
            "echo" => text(string("text")?),
            "big" => text(numbers(number("size")? as usize)),
            "sink" => text(string("data")?.len().to_string()),
            "slow" => {
                let ms = number("ms")?;
                tokio::time::sleep(Duration::from_millis(ms)).await;
                text(format!("slept {ms}"))
            }
            "fail" => Ok(CallToolResult::error(vec![ContentBlock::text("failed on purpose")]).into()),
            "error" => Err(ErrorData::new(ErrorCode(-32050), "error on purpose", None)),
            "progress" => {
                let steps = number("steps")?;
                progress(steps, &context).await.map_err(internal)?;
                text(format!("{steps} steps"))
            }
            "notify" => {
                let count = number("count")?;
                notify(count, &context).await.map_err(internal)?;
                text(format!("{count} notes"))
            }
            "ask" => self.ask(&request, &context).await,
            "touch" => self.touch(&context).await,
            other => Err(ErrorData::invalid_params(format!("no tool {other}"), None)),
        }
    }

    async fn list_resources(&self, _: Option<PaginatedRequestParams>, _: RequestContext<RoleServer>) -> Result<ListResourcesResult, ErrorData> {
        let document = Resource::new(DOCUMENT_URI, "doc").with_mime_type("text/plain");
        Ok(ListResourcesResult::with_all_items(vec![document]))
    }

    async fn read_resource(&self, request: ReadResourceRequestParams, _: RequestContext<RoleServer>) -> Result<ReadResourceResponse, ErrorData> {
        if request.uri != DOCUMENT_URI {
            return Err(ErrorData::resource_not_found(request.uri, None));
        }
        Ok(ReadResourceResult::new(vec![ResourceContents::text(DOCUMENT_TEXT, DOCUMENT_URI)]).into())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        self.accepted.fetch_add(1, Ordering::SeqCst);
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let sink = context.sink().clone();
        self.sinks.lock().expect("not poisoned").push(sink.clone());
        self.opened.fetch_add(1, Ordering::SeqCst);
        context.cancelled().await;
        self.sinks.lock().expect("not poisoned").retain(|other| other.id() != sink.id());
        Ok(())
    }

    async fn subscribe(&self, _: SubscribeRequestParams, _: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(&self, _: UnsubscribeRequestParams, _: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn set_level(&self, _: SetLevelRequestParams, _: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        Ok(())
    }
}

/// With `--pipes` the SDK opens the standard streams anew through `/proc/self/fd`, which makes other open files of the same pipes.
pub async fn serve(arguments: &[String]) -> ExitCode {
    let log = TruthLog::new("server");
    let server = TestServer::default();
    let service = if arguments.iter().any(|argument| argument == "--pipes") {
        let (reader, writer) = rmcp::transport::stdio_pipes();
        server.serve((log.reads(reader), log.writes(writer))).await
    } else {
        let (reader, writer) = rmcp::transport::stdio();
        server.serve((log.reads(reader), log.writes(writer))).await
    };
    let result = match service {
        Ok(service) => service.waiting().await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = result {
        eprintln!("peer: {error}");
        return ExitCode::FAILURE;
    }
    log.end();
    ExitCode::SUCCESS
}
