//! The fields that conditions speak of: one table, from which checking, evaluating and the printed reference come.

use super::Kinds;

/// What a field holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Type {
    /// True or false.
    Truth,
    /// A whole number, or one with a fraction.
    Number,
    /// Text.
    Text,
    /// A list.
    List,
    /// Captured JSON.
    Json,
}

impl Type {
    /// As people read it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truth => "truth",
            Self::Number => "number",
            Self::Text => "text",
            Self::List => "list",
            Self::Json => "JSON",
        }
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The field.
    pub field: Field,
    /// As conditions write it.
    pub name: &'static str,
    /// What it holds.
    pub holds: Type,
    /// The kinds of events that have it; of others it is empty.
    pub kinds: Kinds,
    /// What it means.
    pub about: &'static str,
}

macro_rules! fields {
    ($($field:ident $name:literal $holds:ident $kinds:expr, $about:literal;)*) => {
        /// A field.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[expect(missing_docs, reason = "the table says what each means")]
        pub enum Field {
            $($field,)*
        }

        /// All fields, in the order in which they are explained.
        pub const FIELDS: &[Row] = &[
            $(Row { field: Field::$field, name: $name, holds: Type::$holds, kinds: $kinds, about: $about },)*
        ];
    };
}

const ALL: Kinds = Kinds::ALL;
const CALLS: Kinds = Kinds::CALL.union(Kinds::RESULT);
const CALL: Kinds = Kinds::CALL;
const RESULT: Kinds = Kinds::RESULT;
const TOOL: Kinds = Kinds::TOOL;
const MESSAGES: Kinds = Kinds::MESSAGE.union(Kinds::TOOL);
const SPOKEN: Kinds = Kinds::CALL.union(Kinds::RESULT).union(Kinds::TOOL).union(Kinds::MESSAGE);

fields! {
    Kind "kind" Text ALL, "the kind of event";
    Node "node" Text ALL, "the host's name";
    SessionId "session.id" Text ALL, "the session";
    SessionTransport "session.transport" Text ALL, "PIPE, UNIX, TCP, PTY";
    SessionProtocolVersion "session.protocolVersion" Text ALL, "the revision of MCP";
    SessionLateAttach "session.lateAttach" Truth ALL, "the session was under way when the sensor first saw it";
    SessionRelayed "session.relayed" Truth ALL, "its bytes come through a relay, which is a session of its own";
    SessionCalls "session.calls" Number ALL, "calls of this session so far, this one included";
    SessionPrevious "session.previous" List ALL, "the calls before this one, the latest first: {tool, argumentsHash, failed, age}";
    ClientPid "client.pid" Number ALL, "the client's process";
    ClientExe "client.exe" Text ALL, "its executable";
    ClientName "client.name" Text ALL, "what it calls itself in MCP";
    ClientVersion "client.version" Text ALL, "its version, by its own account";
    ClientCommand "client.command" Text ALL, "its command line, secrets taken out";
    ClientCommandLine "client.commandLine" List ALL, "the words of its command line";
    ClientDirectory "client.directory" Text ALL, "its working directory";
    ClientUid "client.uid" Number ALL, "its user's number; -1 where it is not known";
    ClientUser "client.user" Text ALL, "its user";
    ClientContainer "client.container" Text ALL, "its container's id";
    ClientPod "client.pod" Text ALL, "its pod";
    ClientNamespace "client.namespace" Text ALL, "its pod's namespace";
    ClientUnit "client.unit" Text ALL, "its systemd unit";
    ClientAddress "client.address" Text ALL, "its address, of a peer on another host";
    ClientAncestors "client.ancestors" List ALL, "executables of its ancestors, the parent first";
    ServerPid "server.pid" Number ALL, "the server's process";
    ServerExe "server.exe" Text ALL, "its executable";
    ServerName "server.name" Text ALL, "what it calls itself in MCP";
    ServerVersion "server.version" Text ALL, "its version, by its own account";
    ServerCommand "server.command" Text ALL, "its command line, secrets taken out";
    ServerCommandLine "server.commandLine" List ALL, "the words of its command line";
    ServerDirectory "server.directory" Text ALL, "its working directory";
    ServerUid "server.uid" Number ALL, "its user's number; -1 where it is not known";
    ServerUser "server.user" Text ALL, "its user";
    ServerContainer "server.container" Text ALL, "its container's id";
    ServerPod "server.pod" Text ALL, "its pod";
    ServerNamespace "server.namespace" Text ALL, "its pod's namespace";
    ServerUnit "server.unit" Text ALL, "its systemd unit";
    ServerAddress "server.address" Text ALL, "its address, of a peer on another host";
    ServerAncestors "server.ancestors" List ALL, "executables of its ancestors, the parent first";
    ServerLauncher "server.launcher" Text ALL, "what fetched and started it: npx, uvx, docker; empty for a plain executable";
    ServerPackage "server.package" Text ALL, "the package or image that was asked for, without version";
    ServerPackageVersion "server.packageVersion" Text ALL, "the version that was asked for";
    ServerPinned "server.pinned" Truth ALL, "the launcher was given an exact version; true where there is none";
    MessageMethod "message.method" Text MESSAGES, "its method; of a response, the request's";
    MessageType "message.type" Text MESSAGES, "REQUEST, RESPONSE, ERROR, NOTIFICATION";
    MessageDirection "message.direction" Text MESSAGES, "CLIENT_TO_SERVER, SERVER_TO_CLIENT";
    MessageTarget "message.target" Text MESSAGES, "the tool, prompt or resource that it names";
    MessageBytes "message.bytes" Number MESSAGES, "its size";
    MessageMarks "message.marks" List SPOKEN, "what was odd about it: DUPLICATE_KEY, SHARED_LINE, ...";
    MessageParams "message.params" Json MESSAGES, "its parameters";
    MessageResult "message.result" Json MESSAGES, "its result";
    MessageError "message.error" Json MESSAGES, "its error";
    CallTool "call.tool" Text CALLS, "the tool";
    CallId "call.id" Text CALLS, "the request's id";
    CallArguments "call.arguments" Json CALL, "the arguments";
    CallArgumentsHash "call.argumentsHash" Text CALL, "the same for the same arguments, whatever the order of their keys";
    CallRequestBytes "call.requestBytes" Number CALLS, "size of the request";
    CallListed "call.listed" Truth CALLS, "the server has listed this tool";
    CallAnnotated "call.annotated" Truth CALLS, "the tool has annotations";
    CallReadOnlyHint "call.readOnlyHint" Truth CALLS, "they say that it changes nothing";
    CallDestructiveHint "call.destructiveHint" Truth CALLS, "they say that it may destroy";
    ResultState "result.state" Text RESULT, "COMPLETED, FAILED, CANCELLED, ABANDONED";
    ResultIsError "result.isError" Truth RESULT, "the tool says that it failed";
    ResultBytes "result.bytes" Number RESULT, "size of the response";
    ResultDurationMs "result.durationMs" Number RESULT, "from request to response";
    ResultContent "result.content" Json RESULT, "the whole result, or the error";
    ToolName "tool.name" Text TOOL, "the listed tool";
    ToolTitle "tool.title" Text TOOL, "its title";
    ToolDescription "tool.description" Text TOOL, "its description";
    ToolDefinition "tool.definition" Json TOOL, "its whole definition";
    ToolNew "tool.new" Truth TOOL, "the first time that this server lists it";
    ToolChanged "tool.changed" Truth TOOL, "it differs from what this server listed before";
    ToolChanges "tool.changes" List TOOL, "the members that differ";
    ToolShadows "tool.shadows" Truth TOOL, "another server of the same client lists a tool of the same, or a confusable, name";
    DetectPaths "detect.paths" List SPOKEN, "file paths, decoded and normalised";
    DetectPathTraversal "detect.pathTraversal" Truth SPOKEN, "a path climbs out";
    DetectSensitivePaths "detect.sensitivePaths" List SPOKEN, "paths of credentials, keys, secrets of the system, configuration of agents";
    DetectShell "detect.shell" List SPOKEN, "shapes of command injection";
    DetectHosts "detect.hosts" List SPOKEN, "hosts of addresses";
    DetectInternalAddresses "detect.internalAddresses" List SPOKEN, "those on this host, private, link-local";
    DetectMetadataAddress "detect.metadataAddress" Truth SPOKEN, "the metadata service of a cloud among them";
    DetectSchemes "detect.schemes" List SPOKEN, "schemes other than http and https";
    DetectSecrets "detect.secrets" List SPOKEN, "kinds of secrets";
    DetectSecretTravels "detect.secretTravels" Truth SPOKEN, "one of them was seen at another server before";
    DetectHiddenText "detect.hiddenText" List SPOKEN, "ways in which text is hidden";
    DetectInstructions "detect.instructions" List SPOKEN, "kinds of text that instructs a model";
    DetectInstructionScore "detect.instructionScore" Number SPOKEN, "how much it looks like an instruction, 0 to 100";
    DetectDestructiveName "detect.destructiveName" Truth SPOKEN, "the tool's name says that it deletes, overwrites, sends, pays, deploys";
}

/// The row of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Row> {
    FIELDS.iter().find(|row| row.name == name)
}

/// A field's row.
#[must_use]
pub fn row(field: Field) -> Option<&'static Row> {
    FIELDS.get(field as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_field_has_one_row_at_its_place() {
        let names: BTreeSet<_> = FIELDS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), FIELDS.len());
        for known in FIELDS {
            assert_eq!(row(known.field).unwrap().name, known.name);
        }
    }

    #[test]
    fn the_reference_has_every_field() {
        let reference = include_str!("../../../rules/LANGUAGE.md");
        for known in FIELDS {
            let name = known.name.split_once('.').map_or(known.name, |(_, name)| name);
            assert!(reference.contains(&format!(".{name}`")) || reference.contains(&format!("`{name}`")), "{}", known.name);
        }
    }
}
