//! Which events are shown.
//!
//! Filters of one kind are alternatives, filters of different kinds must all match. What a person reads in the table can
//! be filtered for: see [`present::find`].
//!
//! Invariants: what the sensor tells of itself passes always, for a loss may hide what was asked for; a gap passes where
//! its session does, whatever tool or method was asked for; a filter never fails.

use mcp_sensor_proto::v1::event::Body;
use mcp_sensor_proto::v1::{Event, Peer};

use present::find::{Called, Place};
pub use present::find::{Glob, Name, Process as Pattern};

use super::args::FilterArgs;

/// The method of a tool call.
const TOOLS_CALL: &str = "tools/call";

/// Decides which events are shown.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    filters: FilterArgs,
}

impl Filter {
    /// The filter that these arguments ask for.
    #[must_use]
    pub fn new(filters: &FilterArgs) -> Self {
        Self { filters: filters.clone() }
    }

    /// True where everything is to be shown.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        let FilterArgs { process, user, container, server, client, tool, method, session } = &self.filters;
        process.is_empty()
            && user.is_empty()
            && container.is_empty()
            && server.is_empty()
            && client.is_empty()
            && tool.is_empty()
            && method.is_empty()
            && session.is_empty()
    }

    /// What it asks for, as one would type it; empty where everything.
    #[must_use]
    pub fn in_words(&self) -> String {
        fn texts<T: ToString>(values: &[T]) -> Vec<String> {
            values.iter().map(T::to_string).collect()
        }
        let FilterArgs { process, user, container, server, client, tool, method, session } = &self.filters;
        let kinds = [
            ("process", texts(process)),
            ("user", user.clone()),
            ("container", container.clone()),
            ("server", texts(server)),
            ("client", texts(client)),
            ("tool", texts(tool)),
            ("method", texts(method)),
            ("session", session.clone()),
        ];
        let flags = kinds.iter().flat_map(|(kind, values)| values.iter().map(move |value| format!("--{kind} {value}")));
        flags.collect::<Vec<_>>().join(" ")
    }

    /// True where the event is to be shown.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        let FilterArgs { process, user, container, server, client, tool, method, session } = &self.filters;
        if matches!(event.body, Some(Body::Sensor(_))) {
            return true;
        }
        let peers = || event.client.iter().chain(&event.server);
        let session_id = event.session.as_ref().map_or("", |session| session.id.as_str());
        any(session, |prefix| session_id.starts_with(prefix.as_str()))
            && any(process, |pattern| peers().any(|peer| pattern.is(peer.pid, &Called::of(peer))))
            && any(user, |user| peers().any(|peer| is_user(user, peer)))
            && any(container, |container| peers().any(|peer| Place::of(peer).is(container)))
            && any(server, |name| event.server.as_ref().is_some_and(|peer| name.is_called(&Called::of(peer))))
            && any(client, |name| event.client.as_ref().is_some_and(|peer| name.is_called(&Called::of(peer))))
            && self.matches_body(event, tool, method)
    }

    fn matches_body(&self, event: &Event, tool: &[Glob], method: &[Glob]) -> bool {
        let (named_tool, named_method) = match &event.body {
            Some(Body::ToolCall(call)) => (call.tool.as_str(), TOOLS_CALL),
            Some(Body::Message(message)) if message.method == TOOLS_CALL => (message.target.as_str(), TOOLS_CALL),
            Some(Body::Message(message)) => ("", message.method.as_str()),
            Some(Body::Finding(finding)) => {
                (finding.tool.as_str(), if finding.tool.is_empty() { finding.method.as_str() } else { TOOLS_CALL })
            }
            // What was done is shown with the sessions that match, as gaps are.
            Some(Body::Gap(_) | Body::Action(_)) => return true,
            _ => ("", ""),
        };
        any(tool, |glob| !named_tool.is_empty() && glob.matches(named_tool))
            && any(method, |glob| !named_method.is_empty() && glob.matches(named_method))
    }
}

/// True where nothing was asked for, or one of the alternatives is there.
fn any<T>(asked: &[T], is_there: impl Fn(&T) -> bool) -> bool {
    asked.is_empty() || asked.iter().any(is_there)
}

fn is_user(user: &str, peer: &Peer) -> bool {
    (!user.is_empty() && peer.user == user) || peer.uid.is_some_and(|uid| user.parse() == Ok(uid))
}

#[cfg(test)]
mod tests {
    use mcp_sensor_proto::v1::{Container, Gap, Message, Pod, Sensor, Session, SessionChange, ToolCall};

    use super::*;

    fn filter(line: &str) -> Filter {
        use clap::Parser as _;
        let line = format!("mcp-sensor watch {line}");
        let args = super::super::args::Args::try_parse_from(line.split_ascii_whitespace()).unwrap();
        match args.command {
            super::super::args::Command::Watch(watch) => Filter::new(&watch.filters),
            other => panic!("{other:?}"),
        }
    }

    fn event(body: Body) -> Event {
        let client = Peer {
            pid: 812,
            exe: "/usr/bin/claude".to_owned(),
            uid: Some(1000),
            user: "ada".to_owned(),
            name: "claude-code".to_owned(),
            ..Peer::default()
        };
        let server = Peer {
            pid: 990,
            exe: "/usr/bin/node".to_owned(),
            command_line: vec!["node".to_owned(), "/m/@x/server-everything/dist/index.js".to_owned()],
            uid: Some(0),
            user: "root".to_owned(),
            name: "Everything".to_owned(),
            container: Some(Container { id: "3f2a99".to_owned(), runtime: "docker".to_owned() }),
            pod: Some(Pod { uid: "u-1".to_owned(), namespace: "prod".to_owned(), name: "web-0".to_owned() }),
            ..Peer::default()
        };
        let session = Session { id: "00ff00ff00ff00ff".to_owned(), ..Session::default() };
        Event { client: Some(client), server: Some(server), session: Some(session), body: Some(body), ..Event::default() }
    }

    fn call(tool: &str) -> Event {
        event(Body::ToolCall(ToolCall { tool: tool.to_owned(), ..ToolCall::default() }))
    }

    #[test]
    fn each_kind_finds_what_it_names() {
        let matching = [
            "",
            "--process claude",
            "--process CLAUDE",
            "--process 812",
            "--process 990",
            "--process node",
            "--process index.js",
            "--process index",
            "--process server-every*",
            "--user ada",
            "--user 1000",
            "--user 0",
            "--container 3f2a",
            "--container web-0",
            "--container prod/web-0",
            "--server everything",
            "--server server-everything",
            "--server node",
            "--client claude-code",
            "--client claude",
            "--tool echo",
            "--tool ec*",
            "--tool e??o",
            "--method tools/call",
            "--method tools/*",
            "--session 00ff",
        ];
        for line in matching {
            assert!(filter(line).matches(&call("echo")), "{line}");
        }
        let others = [
            "--process cla",
            "--process 81",
            "--process everything",
            "--user bob",
            "--user 100",
            "--container f2a",
            "--container web",
            "--container dev/web-0",
            "--server claude",
            "--client everything",
            "--tool Echo",
            "--tool ech",
            "--method tools/list",
            "--session ff",
        ];
        for line in others {
            assert!(!filter(line).matches(&call("echo")), "{line}");
        }
    }

    #[test]
    fn within_a_kind_any_matches_and_across_kinds_all_must() {
        assert!(filter("--tool rm --tool echo").matches(&call("echo")));
        assert!(filter("--tool rm --tool echo --user ada --user bob").matches(&call("echo")));
        assert!(!filter("--tool echo --user bob").matches(&call("echo")));
    }

    #[test]
    fn what_the_sensor_tells_of_itself_always_passes() {
        let told = Event { body: Some(Body::Sensor(Sensor::default())), ..Event::default() };
        assert!(filter("--tool rm --process 1 --session x").matches(&told));
    }

    #[test]
    fn a_gap_passes_with_its_session_whatever_tool_is_asked_for() {
        let gap = event(Body::Gap(Gap::default()));
        assert!(filter("--tool rm --method x").matches(&gap));
        assert!(filter("--tool rm --server everything").matches(&gap));
        assert!(!filter("--server other").matches(&gap));
    }

    #[test]
    fn messages_are_found_by_method_and_by_the_tool_they_name() {
        let message = |method: &str, target: &str| {
            event(Body::Message(Message { method: method.to_owned(), target: target.to_owned(), ..Message::default() }))
        };
        assert!(filter("--tool echo").matches(&message("tools/call", "echo")));
        assert!(!filter("--tool echo").matches(&message("prompts/get", "echo")));
        assert!(filter("--method prompts/*").matches(&message("prompts/get", "echo")));
        assert!(!filter("--method *").matches(&message("", "")));
        let session = event(Body::SessionChange(SessionChange::default()));
        assert!(!filter("--tool echo").matches(&session));
        assert!(filter("--server everything").matches(&session));
    }
}
