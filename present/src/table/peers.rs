//! Who talks to whom, in one column: `claude[812] → server-everything[990]`.
//!
//! A process is shown by the name the kernel gives reason for, with its pid. What MCP says of itself stands first where
//! it says something else: `weather-pro (nc)[990]`. Where there is little room, that goes first, then the ends of the
//! names, then the client's pid; the server's pid stays.

use mcp_sensor_proto::v1::{Event, Peer};

use crate::names;
use crate::sanitize::is_unsafe;
use crate::style::{Line, Style};

/// Columns that a name keeps before a pid gives way.
const MIN_NAME: usize = 6;

/// A peer as it can be shown.
#[derive(Clone)]
struct Label {
    /// What MCP says of itself, where that is news.
    said: Line,
    /// The process's own name, or the address.
    name: Line,
    /// `[990]`; empty where it is no process of this host.
    pid: Line,
    style: Style,
}

/// A peer by the name that the kernel gives reason for: `mcp-time-server[990]`.
pub(crate) fn label(peer: Option<&Peer>, style: Style) -> Line {
    Label::of(peer, style).short()
}

/// Both ends of a session, ready to be fitted into a column.
#[derive(Clone)]
pub(super) struct Peers {
    client: Label,
    server: Label,
    arrow: &'static str,
    style: Style,
}

impl Peers {
    /// The peers of an event. `arrow` stands between them.
    pub(super) fn of(event: &Event, arrow: &'static str, style: Style) -> Self {
        Self { client: Label::of(event.client.as_ref(), style), server: Label::of(event.server.as_ref(), style), arrow, style }
    }

    /// Everything that is known, however long.
    pub(super) fn whole(&self) -> Line {
        self.joined(self.client.long(), self.server.long())
    }

    /// As much as fits into so many columns.
    pub(super) fn fit(&self, columns: usize) -> Line {
        let room = columns.saturating_sub(self.arrow.chars().count());
        let Self { client, server, .. } = self;
        let fits = |client: &Line, server: &Line| client.width() + server.width() <= room;
        let choices = [
            (client.long(), server.long()),
            (client.short(), server.long()),
            (client.long(), server.short()),
            (client.short(), server.short()),
        ];
        for (client, server) in choices {
            if fits(&client, &server) {
                return self.joined(client, server);
            }
        }
        let for_names = room.saturating_sub(client.pid.width() + server.pid.width());
        if for_names >= 2 * MIN_NAME {
            let (for_client, for_server) = share(for_names, client.name.width(), server.name.width());
            return self.joined(client.cut(for_client), server.cut(for_server));
        }
        let for_names = room.saturating_sub(server.pid.width());
        let (for_client, for_server) = share(for_names, client.name.width(), server.name.width());
        self.joined(client.name.clone().cut(for_client), server.cut(for_server)).cut(columns)
    }

    fn joined(&self, client: Line, server: Line) -> Line {
        let mut line = client;
        line.push_own(self.style.dimmed(), self.arrow);
        line.push_line(server);
        line
    }
}

impl Label {
    fn of(peer: Option<&Peer>, style: Style) -> Self {
        let Some(peer) = peer else {
            return Self { said: Line::default(), name: Line::own(style.dimmed(), "?"), pid: Line::default(), style };
        };
        let own_name = match names::short(peer) {
            "" => peer.address.as_str(),
            name => name,
        };
        let pid = if peer.pid == 0 { Line::default() } else { Line::own(style.dimmed(), &format!("[{}]", peer.pid)) };
        if own_name.is_empty() {
            return Self { said: Line::default(), name: name_line(if peer.name.is_empty() { "?" } else { &peer.name }, style), pid, style };
        }
        let said = if peer.name.is_empty() || are_alike(&peer.name, own_name) { Line::default() } else { name_line(&peer.name, style) };
        Self { said, name: name_line(own_name, style), pid, style }
    }

    fn long(&self) -> Line {
        if self.said.is_empty() {
            return self.short();
        }
        let mut line = self.said.clone();
        line.push_own(self.style, " (");
        line.push_line(self.name.clone());
        line.push_own(self.style, ")");
        line.push_line(self.pid.clone());
        line
    }

    fn short(&self) -> Line {
        let mut line = self.name.clone();
        line.push_line(self.pid.clone());
        line
    }

    fn cut(&self, for_name: usize) -> Line {
        let mut line = self.name.clone().cut(for_name);
        line.push_line(self.pid.clone());
        line
    }
}

/// A name, with the arrow escaped: no name can pass for two peers.
fn name_line(name: &str, style: Style) -> Line {
    let mut line = Line::default();
    for (position, part) in name.split(['→', '←']).enumerate() {
        if position > 0 {
            line.push_own(style.dimmed(), "\\u{2192}");
        }
        line.push_raw(style, part);
    }
    line
}

/// True where a name that MCP tells says nothing that the process's own name does not.
fn are_alike(said: &str, own: &str) -> bool {
    if said.contains(is_unsafe) {
        return false;
    }
    let letters =
        |text: &str| text.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    let (said, own) = (letters(said), letters(own));
    // Short names are in many others.
    said == own || (own.len() >= 4 && said.contains(&own)) || (said.len() >= 4 && own.contains(&said))
}

/// Shares columns between two names: each gets what it needs if the other can spare it.
fn share(columns: usize, first: usize, second: usize) -> (usize, usize) {
    let half = columns / 2;
    if first <= half {
        (first, columns - first)
    } else if second <= columns - half {
        (columns - second, second)
    } else {
        (half, columns - half)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::style::Styles;

    fn peer(pid: u32, exe: &str, name: &str) -> Peer {
        Peer { pid, exe: exe.to_owned(), name: name.to_owned(), ..Peer::default() }
    }

    fn fitted(client: Peer, server: Peer, columns: usize) -> String {
        let event = Event { client: Some(client), server: Some(server), ..Event::default() };
        let mut shown = String::new();
        Peers::of(&event, " → ", Style::PLAIN).fit(columns).print(Styles::PLAIN, &mut shown);
        shown
    }

    #[test]
    fn names_give_way_step_by_step() {
        let client = || peer(81234, "/usr/bin/claude", "claude-code");
        let server = || peer(81290, "/x/mcp-time-server", "Zeit");
        assert_eq!(fitted(client(), server(), 80), "claude[81234] → Zeit (mcp-time-server)[81290]");
        assert_eq!(fitted(client(), server(), 40), "claude[81234] → mcp-time-server[81290]");
        assert_eq!(fitted(client(), server(), 30), "claude[81234] → mcp-ti…[81290]");
        assert_eq!(fitted(client(), server(), 24), "claude → mcp-tim…[81290]");
        assert_eq!(fitted(client(), server(), 16), "cl… → mc…[81290]");
    }

    #[test]
    fn what_is_not_known_is_said() {
        let event = Event { server: Some(Peer { address: "192.0.2.7:443".to_owned(), ..Peer::default() }), ..Event::default() };
        let mut shown = String::new();
        Peers::of(&event, " → ", Style::PLAIN).whole().print(Styles::PLAIN, &mut shown);
        assert_eq!(shown, "? → 192.0.2.7:443");
    }

    #[test]
    fn a_name_cannot_pass_for_two_peers() {
        assert_eq!(fitted(peer(1, "/a → b", ""), peer(2, "/c", "x\u{1b}]0;y\u{7}"), 80), "a \\u{2192} b[1] → x␛]0;y␇ (c)[2]");
    }

    #[test]
    fn alike_is_only_what_cannot_deceive() {
        assert!(are_alike("claude-code", "claude"));
        assert!(are_alike("mcp-servers/everything", "everything"));
        assert!(are_alike("Server_Everything", "server-everything"));
        assert!(!are_alike("bank", "nc"));
        assert!(!are_alike("nice", "nc"));
        assert!(!are_alike("git", "digit"));
        assert!(!are_alike("claude\u{202e}", "claude"), "what hides something is shown");
    }

    proptest! {
        #[test]
        fn peers_fit_their_column(first in any::<String>(), second in any::<String>(), said in any::<String>(), pid in any::<u32>(), columns in 0_usize..60) {
            let event = Event { client: Some(peer(pid, &first, &said)), server: Some(peer(pid, &second, &said)), ..Event::default() };
            prop_assert!(Peers::of(&event, " → ", Style::PLAIN).fit(columns).width() <= columns);
        }
    }
}
