//! The client, and the adapter that the scenarios speak to.

#![allow(deprecated, reason = "the SDK deprecates what only the handshake era has, which is to be tested")]

use std::collections::BTreeSet;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ClientConfig, ClientRequest, CustomRequest, ElicitRequestParams, ElicitResult,
    ElicitationAction, ErrorData, Implementation, LoggingLevel, LoggingMessageNotificationParam, ProgressNotificationParam,
    ProtocolVersion, ReadResourceRequestParams, RequestMetaObject, ResourceContents, ResourceUpdatedNotificationParam,
    ServerNotification, SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter, UnsubscribeRequestParams,
};
use rmcp::service::{ClientLifecycleMode, NotificationContext, RequestContext, RoleClient, RunningService, Subscription};
use rmcp::{ClientHandler, ClientServiceExt as _};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

pub use rmcp::service::ServiceError;

use crate::content::DOCUMENT_URI;
use crate::scenarios::{self, Options};
use crate::truth::TruthLog;

/// What the server sent without being asked.
#[derive(Clone, Default)]
pub struct Inbox {
    pub notes: Arc<AtomicUsize>,
    pub updated: Arc<AtomicUsize>,
    pub progress: Arc<AtomicUsize>,
}

impl ClientHandler for Inbox {
    async fn create_elicitation(&self, _: ElicitRequestParams, _: RequestContext<RoleClient>) -> Result<ElicitResult, ErrorData> {
        let mut result = ElicitResult::new(ElicitationAction::Accept);
        result.content = Some(json!({"name": "Ada"}));
        Ok(result)
    }

    async fn on_progress(&self, _: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.progress.fetch_add(1, Ordering::SeqCst);
    }

    async fn on_logging_message(&self, _: LoggingMessageNotificationParam, _: NotificationContext<RoleClient>) {
        self.notes.fetch_add(1, Ordering::SeqCst);
    }

    async fn on_resource_updated(&self, params: ResourceUpdatedNotificationParam, _: NotificationContext<RoleClient>) {
        if params.uri == DOCUMENT_URI {
            self.updated.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn get_info(&self) -> ClientConfig {
        let capabilities = ClientCapabilities::builder().enable_elicitation().build();
        ClientConfig::new(capabilities, Implementation::new("peer-rmcp", "1.0.0"))
            .with_protocol_version(ProtocolVersion::V_2025_11_25)
    }
}

/// An open subscription, of either era.
pub enum Subscribed {
    Legacy,
    Modern(Subscription),
}

pub struct Connection {
    pub inbox: Inbox,
    service: RunningService<RoleClient, Inbox>,
    child: Child,
    modern: bool,
}

impl Connection {
    pub async fn open(options: &Options, log: &Arc<TruthLog>) -> Result<Self> {
        let (program, arguments) = options.command.split_first().context("no server command")?;
        // What `TokioChildProcess` does, which has no place for the log between the SDK and the pipes.
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let stdout = child.stdout.take().context("no standard output")?;
        let stdin = child.stdin.take().context("no standard input")?;
        let modern = vec![ProtocolVersion::V_2026_07_28];
        let lifecycle = match options.era.as_str() {
            "legacy" => ClientLifecycleMode::Initialize,
            "modern" => ClientLifecycleMode::Discover { preferred_versions: modern },
            _ => ClientLifecycleMode::Auto { preferred_versions: modern, legacy_version: Some(ProtocolVersion::V_2025_11_25) },
        };
        let inbox = Inbox::default();
        let transport = (log.reads(stdout), log.writes(stdin));
        let service = inbox.clone().serve_with_lifecycle(transport, lifecycle).await?;
        let modern = service.peer_info().is_some_and(|info| info.protocol_version >= ProtocolVersion::V_2026_07_28);
        Ok(Self { inbox, service, child, modern })
    }

    /// Ends the server as the SDK does: close its input and wait, then SIGTERM, then SIGKILL.
    pub async fn close(self) -> Result<()> {
        let Self { service, mut child, .. } = self;
        service.cancel().await?;
        let patience = Duration::from_secs(3);
        if tokio::time::timeout(patience, child.wait()).await.is_ok() {
            return Ok(());
        }
        if let Some(pid) = child.id() {
            // SAFETY: a signal to our own child, which has not been waited for.
            unsafe { libc::kill(pid as libc::pid_t, libc::SIGTERM) };
        }
        if tokio::time::timeout(patience, child.wait()).await.is_err() {
            child.kill().await?;
        }
        Ok(())
    }

    pub async fn tools(&self) -> Result<BTreeSet<String>> {
        let tools = self.service.list_all_tools().await?;
        Ok(tools.into_iter().map(|tool| tool.name.into_owned()).collect())
    }

    /// The text of the result, and whether it is an error.
    pub async fn call(&self, tool: &str, arguments: Value) -> Result<(String, bool), ServiceError> {
        let mut params = CallToolRequestParams::new(tool.to_owned());
        if let Value::Object(arguments) = arguments {
            params = params.with_arguments(arguments);
        }
        if self.modern {
            // In the modern era each request says which log messages it wants.
            let mut meta = RequestMetaObject::new();
            meta.set_log_level(LoggingLevel::Debug);
            params.meta = Some(meta);
        }
        let result = self.service.call_tool(params).await?;
        let text = result.content.iter().filter_map(|part| part.as_text()).map(|part| part.text.as_str()).collect();
        Ok((text, result.is_error.unwrap_or(false)))
    }

    pub async fn unknown_method(&self) -> Result<(), ServiceError> {
        let request = ClientRequest::CustomRequest(CustomRequest::new("peers/unknown", Some(json!({}))));
        self.service.send_request(request).await.map(|_| ())
    }

    pub async fn set_level(&self) -> Result<()> {
        if !self.modern {
            self.service.set_level(SetLevelRequestParams::new(LoggingLevel::Debug)).await?;
        }
        Ok(())
    }

    pub async fn resources(&self) -> Result<BTreeSet<String>> {
        let resources = self.service.list_all_resources().await?;
        Ok(resources.into_iter().map(|resource| resource.uri.clone()).collect())
    }

    pub async fn read(&self, uri: &str) -> Result<String> {
        let result = self.service.read_resource(ReadResourceRequestParams::new(uri)).await?;
        match result.contents.first() {
            Some(ResourceContents::TextResourceContents { text, .. }) => Ok(text.clone()),
            other => Err(anyhow!("no text: {other:?}")),
        }
    }

    pub async fn subscribe(&self, uri: &str) -> Result<Subscribed> {
        if self.modern {
            let filter = SubscriptionFilter::builder().resource_subscription(uri).build();
            return Ok(Subscribed::Modern(self.service.listen(filter).await?));
        }
        self.service.subscribe(SubscribeRequestParams::new(uri)).await?;
        Ok(Subscribed::Legacy)
    }

    /// Waits for `resources/updated`.
    pub async fn updated(&self, subscribed: &mut Subscribed) -> Result<()> {
        match subscribed {
            Subscribed::Legacy => {
                scenarios::until(|| self.inbox.updated.load(Ordering::SeqCst) > 0, "resources/updated", 10.0).await
            }
            Subscribed::Modern(subscription) => {
                let next = tokio::time::timeout(Duration::from_secs(10), subscription.next());
                match next.await.context("no resources/updated within 10 s")?? {
                    Some(ServerNotification::ResourceUpdatedNotification(_)) => Ok(()),
                    other => bail!("not resources/updated: {other:?}"),
                }
            }
        }
    }

    pub async fn unsubscribe(&self, subscribed: Subscribed, uri: &str) -> Result<()> {
        match subscribed {
            Subscribed::Legacy => self.service.unsubscribe(UnsubscribeRequestParams::new(uri)).await?,
            Subscribed::Modern(mut subscription) => subscription.cancel().await?,
        }
        Ok(())
    }
}

/// Exits: 0 all right, 1 a wrong result, 2 usage, 3 not offered by this server.
pub async fn run(arguments: &[String]) -> ExitCode {
    let options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("peer: {error:#}");
            return ExitCode::from(2);
        }
    };
    let log = TruthLog::new("client");
    let all = async {
        let connection = Connection::open(&options, &log).await?;
        let result = scenarios::run(&connection, &options, &log).await;
        connection.close().await?;
        result
    };
    let result = tokio::time::timeout(options.timeout, all).await.unwrap_or_else(|_| Err(anyhow!("timeout")));
    let code = match result {
        Ok(()) => 0,
        Err(error) => {
            let unsupported = error.is::<scenarios::Unsupported>();
            println!(
                "{}",
                json!({"scenario": log.scenario(), "ok": false, "unsupported": unsupported, "error": format!("{error:#}")})
            );
            if unsupported { 3 } else { 1 }
        }
    };
    log.end();
    ExitCode::from(code)
}
