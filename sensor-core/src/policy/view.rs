//! The fields of an event, as the conditions of a policy get to see them.

use super::Kinds;
use super::compile::Policy;
use super::expression::{Facts, Name};
use super::fact::Fact;
use super::field::{Field, row};
use super::memory::Remembered;
use super::subject::{Party, Subject};
use std::borrow::Cow;

/// What windows and firsts say of one event. Kept for the next one's sake: it is there for every event.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// What tells the counts of a window apart, at the first window of those that are told apart by the same.
    pub keys: Vec<Option<u64>>,
    pub counts: Vec<(u64, f64)>,
    pub firsts: Vec<bool>,
}

impl Numbers {
    pub fn begin(&mut self, policy: &Policy) {
        let Self { keys, counts, firsts } = self;
        keys.clear();
        keys.resize(policy.windows.len(), None);
        counts.clear();
        counts.resize(policy.windows.len(), (0, 0.0));
        firsts.clear();
        firsts.resize(policy.firsts.len(), false);
    }
}

/// What the policy gets to see of one event.
pub(super) struct View<'a> {
    pub subject: &'a Subject<'a>,
    pub known: &'a Remembered,
    pub numbers: &'a Numbers,
    pub policy: &'a Policy,
}

const EMPTY: Fact<'static> = Fact::text("");

impl Facts for View<'_> {
    fn fact(&self, name: Name) -> Fact<'_> {
        match name {
            Name::Field(field) => self.field(field),
            Name::Count(number) => Fact::count(self.numbers.counts.get(usize::from(number)).map_or(0, |(count, _)| *count)),
            Name::Sum(number) => Fact::Fraction(self.numbers.counts.get(usize::from(number)).map_or(0.0, |(_, sum)| *sum)),
            Name::First(number) => Fact::Truth(self.numbers.firsts.get(usize::from(number)).copied().unwrap_or(false)),
            Name::Constant(number) => self.policy.names.value(number).map_or(Fact::Json(None), Fact::Constant),
        }
    }
}

impl View<'_> {
    fn field(&self, field: Field) -> Fact<'_> {
        let Self { subject, known, .. } = self;
        let (is_message, is_call) = (subject.kind == Kinds::MESSAGE, subject.kind == Kinds::CALL);
        let is_result = subject.kind == Kinds::RESULT;
        let described =
            |name| subject.definition.and_then(|tool| tool.get(name)).and_then(crate::json::Value::as_str).map_or(EMPTY, Fact::Text);
        let json_if = |holds: bool, value| Fact::Json(if holds { value } else { None });
        match field {
            Field::Kind => Fact::text(subject.kind.name()),
            Field::Node => Fact::text(subject.node),
            Field::SessionId => Fact::text(&subject.session),
            Field::SessionTransport => Fact::text(subject.transport),
            Field::SessionProtocolVersion => Fact::text(subject.protocol_version),
            Field::SessionLateAttach => Fact::Truth(subject.late_attach),
            Field::SessionRelayed => Fact::Truth(subject.relayed),
            Field::SessionCalls => Fact::count(known.calls),
            Field::SessionPrevious => Fact::Previous(&known.previous, subject.time),
            Field::MessageMethod => Fact::text(subject.method),
            Field::MessageType => Fact::text(subject.message_type),
            Field::MessageDirection => Fact::text(subject.direction),
            Field::MessageTarget => Fact::text(subject.target),
            Field::MessageBytes => Fact::count(if is_message || subject.kind == Kinds::TOOL { subject.bytes } else { 0 }),
            Field::MessageMarks => Fact::Names(subject.marks.names().collect()),
            Field::MessageParams => json_if(is_message, subject.said.params),
            Field::MessageResult => json_if(is_message, subject.said.result),
            Field::MessageError => json_if(is_message, subject.said.error),
            Field::CallTool if is_call || is_result => Fact::text(&subject.tool),
            Field::CallId if is_call || is_result => Fact::text(subject.request_id),
            Field::CallTool | Field::CallId => EMPTY,
            Field::CallArguments => json_if(is_call, subject.said.params),
            Field::CallArgumentsHash => Fact::Text(Cow::Owned(if is_call { format!("{:016x}", known.arguments) } else { String::new() })),
            Field::CallRequestBytes => Fact::count(if is_call || is_result { subject.bytes } else { 0 }),
            Field::CallListed => Fact::Truth(known.annotations.listed),
            Field::CallAnnotated => Fact::Truth(known.annotations.annotated),
            Field::CallReadOnlyHint => Fact::Truth(known.annotations.read_only),
            Field::CallDestructiveHint => Fact::Truth(known.annotations.destructive),
            Field::ResultState => Fact::text(subject.state),
            Field::ResultIsError => Fact::Truth(subject.is_error),
            Field::ResultBytes => Fact::count(subject.response_bytes),
            Field::ResultDurationMs => Fact::Fraction(subject.duration as f64 / 1e6),
            Field::ResultContent => json_if(is_result, subject.said.result.or(subject.said.error)),
            Field::ToolName => {
                if subject.definition.is_some() {
                    Fact::text(&subject.tool)
                } else {
                    EMPTY
                }
            }
            Field::ToolTitle => described("title"),
            Field::ToolDescription => described("description"),
            Field::ToolDefinition => Fact::Json(subject.definition),
            Field::ToolNew => Fact::Truth(known.is_new),
            Field::ToolChanged => Fact::Truth(!known.changes.is_empty()),
            Field::ToolChanges => Fact::Names(known.changes.clone()),
            Field::ToolShadows => Fact::Truth(known.shadows),
            Field::DetectPaths => Fact::Texts(Cow::Borrowed(&subject.arguments().paths)),
            Field::DetectPathTraversal => Fact::Truth(subject.arguments().path_traversal),
            Field::DetectSensitivePaths => Fact::Texts(Cow::Borrowed(&subject.arguments().sensitive_paths)),
            Field::DetectShell => Fact::Names(subject.arguments().shell.clone()),
            Field::DetectHosts => Fact::Texts(Cow::Borrowed(&subject.arguments().hosts)),
            Field::DetectInternalAddresses => Fact::Texts(Cow::Borrowed(&subject.arguments().internal_addresses)),
            Field::DetectMetadataAddress => Fact::Truth(subject.arguments().metadata_address),
            Field::DetectSchemes => Fact::Texts(Cow::Borrowed(&subject.arguments().schemes)),
            Field::DetectSecrets => Fact::Texts(Cow::Borrowed(known.secrets(subject))),
            Field::DetectSecretTravels => Fact::Truth(known.secret_travels),
            Field::DetectHiddenText => Fact::Names(subject.text().hidden.clone()),
            Field::DetectInstructions => Fact::Names(subject.text().instructions.clone()),
            Field::DetectInstructionScore => Fact::count(u64::from(subject.text().score)),
            Field::DetectDestructiveName => Fact::Truth(crate::detect::is_destructive(&subject.tool)),
            _ => self.party(field),
        }
    }

    fn party(&self, field: Field) -> Fact<'_> {
        let server = row(field).is_some_and(|row| row.name.starts_with("server."));
        let Party {
            pid,
            exe,
            name,
            version,
            command_line,
            command,
            directory,
            uid,
            user,
            container,
            pod,
            namespace,
            unit,
            address,
            ancestors,
            launch,
        } = if server { self.subject.server } else { self.subject.client };
        match field {
            Field::ClientPid | Field::ServerPid => Fact::Number(i64::from(*pid)),
            Field::ClientExe | Field::ServerExe => Fact::text(exe),
            Field::ClientName | Field::ServerName => Fact::text(name),
            Field::ClientVersion | Field::ServerVersion => Fact::text(version),
            Field::ClientCommand | Field::ServerCommand => Fact::text(command),
            Field::ClientCommandLine | Field::ServerCommandLine => Fact::Texts(Cow::Borrowed(command_line)),
            Field::ClientDirectory | Field::ServerDirectory => Fact::text(directory),
            Field::ClientUid | Field::ServerUid => Fact::Number(uid.map_or(-1, i64::from)),
            Field::ClientUser | Field::ServerUser => Fact::text(user),
            Field::ClientContainer | Field::ServerContainer => Fact::text(container),
            Field::ClientPod | Field::ServerPod => Fact::text(pod),
            Field::ClientNamespace | Field::ServerNamespace => Fact::text(namespace),
            Field::ClientUnit | Field::ServerUnit => Fact::text(unit),
            Field::ClientAddress | Field::ServerAddress => Fact::text(address),
            Field::ClientAncestors | Field::ServerAncestors => Fact::Texts(Cow::Borrowed(ancestors)),
            Field::ServerLauncher => Fact::text(launch.launcher),
            Field::ServerPackage => Fact::text(&launch.package),
            Field::ServerPackageVersion => Fact::text(&launch.version),
            Field::ServerPinned => Fact::Truth(launch.pinned),
            _ => Fact::Json(None),
        }
    }
}
