//! Every method of every released revision of MCP (2024-11-05 to 2026-07-28 with the tasks extension), as one table.
//!
//! The table decides nothing alone: a method that is not in it is recorded like any other, with
//! [`Marks::UNKNOWN_METHOD`](crate::event::Marks::UNKNOWN_METHOD), once its stream is known to be MCP.

use super::Role;

/// A released revision of MCP.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Revision {
    /// 2024-11-05: the first.
    V2024_11_05,
    /// 2025-03-26: batches, streamable HTTP.
    V2025_03_26,
    /// 2025-06-18: elicitation, structured output.
    V2025_06_18,
    /// 2025-11-25: tasks.
    V2025_11_25,
    /// 2026-07-28: no handshake.
    V2026_07_28,
}

/// Whether a method asks for an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// It has an id and is answered.
    Request,
    /// It is not answered.
    Notification,
}

/// The field of `params` that names what a message is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target {
    /// None.
    Nothing,
    /// `name`, of a tool.
    Tool,
    /// `name`, of a prompt.
    Prompt,
    /// `uri`.
    Uri,
    /// `taskId`.
    Task,
    /// `name` or `uri` of `ref`.
    Reference,
}

/// How much the bare name says for MCP, with `"jsonrpc": "2.0"` beside it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Weight {
    /// No other protocol in use has it.
    Strong,
    /// Others have it, or it says little.
    Weak,
    /// Its parameters have to be looked at.
    ByShape,
}

/// A row of the table.
#[derive(Debug)]
pub struct Method {
    /// Its name on the wire.
    pub name: &'static str,
    /// Request or notification.
    pub kind: Kind,
    /// Who sends it; `None` where both do.
    pub sender: Option<Role>,
    /// The revision that brought it.
    pub first: Revision,
    /// The last revision that has it; `None` where the newest has.
    pub last: Option<Revision>,
    /// What names its target.
    pub target: Target,
    /// What it says for MCP.
    pub weight: Weight,
}

macro_rules! table {
    ($($name:literal $kind:ident $sender:tt $first:ident $last:tt $target:ident $weight:ident;)*) => {
        &[$(Method {
            name: $name,
            kind: Kind::$kind,
            sender: table!(@sender $sender),
            first: Revision::$first,
            last: table!(@last $last),
            target: Target::$target,
            weight: Weight::$weight,
        },)*]
    };
    (@sender client) => { Some(Role::Client) };
    (@sender server) => { Some(Role::Server) };
    (@sender both) => { None };
    (@last newest) => { None };
    (@last $last:ident) => { Some(Revision::$last) };
}

/// The table, sorted by name.
#[rustfmt::skip]
pub static METHODS: &[Method] = table! {
    "completion/complete"                      Request      client V2024_11_05 newest      Reference Strong;
    "elicitation/create"                       Request      server V2025_06_18 V2025_11_25 Nothing   Weak;
    "initialize"                               Request      client V2024_11_05 V2025_11_25 Nothing   ByShape;
    "logging/setLevel"                         Request      client V2024_11_05 V2025_11_25 Nothing   Strong;
    "notifications/cancelled"                  Notification both   V2024_11_05 newest      Nothing   Weak;
    "notifications/elicitation/complete"       Notification server V2025_11_25 V2025_11_25 Nothing   Strong;
    "notifications/initialized"                Notification client V2024_11_05 V2025_11_25 Nothing   Strong;
    "notifications/message"                    Notification server V2024_11_05 newest      Nothing   ByShape;
    "notifications/progress"                   Notification both   V2024_11_05 newest      Nothing   ByShape;
    "notifications/prompts/list_changed"       Notification server V2024_11_05 newest      Nothing   Strong;
    "notifications/resources/list_changed"     Notification server V2024_11_05 newest      Nothing   Strong;
    "notifications/resources/updated"          Notification server V2024_11_05 newest      Uri       Strong;
    "notifications/roots/list_changed"         Notification client V2024_11_05 V2025_11_25 Nothing   Strong;
    "notifications/subscriptions/acknowledged" Notification server V2026_07_28 newest      Nothing   Strong;
    "notifications/tasks"                      Notification server V2026_07_28 newest      Task      Weak;
    "notifications/tasks/status"               Notification both   V2025_11_25 V2025_11_25 Task      Weak;
    "notifications/tools/list_changed"         Notification server V2024_11_05 newest      Nothing   Strong;
    "ping"                                     Request      both   V2024_11_05 V2025_11_25 Nothing   Weak;
    "prompts/get"                              Request      client V2024_11_05 newest      Prompt    Strong;
    "prompts/list"                             Request      client V2024_11_05 newest      Nothing   Strong;
    "resources/list"                           Request      client V2024_11_05 newest      Nothing   Strong;
    "resources/read"                           Request      client V2024_11_05 newest      Uri       Strong;
    "resources/subscribe"                      Request      client V2024_11_05 V2025_11_25 Uri       Strong;
    "resources/templates/list"                 Request      client V2024_11_05 newest      Nothing   Strong;
    "resources/unsubscribe"                    Request      client V2024_11_05 V2025_11_25 Uri       Strong;
    "roots/list"                               Request      server V2024_11_05 V2025_11_25 Nothing   Weak;
    "sampling/createMessage"                   Request      server V2024_11_05 V2025_11_25 Nothing   Strong;
    "server/discover"                          Request      client V2026_07_28 newest      Nothing   Strong;
    "subscriptions/listen"                     Request      client V2026_07_28 newest      Nothing   Strong;
    "tasks/cancel"                             Request      both   V2025_11_25 newest      Task      ByShape;
    "tasks/get"                                Request      both   V2025_11_25 newest      Task      ByShape;
    "tasks/list"                               Request      both   V2025_11_25 V2025_11_25 Nothing   Weak;
    "tasks/result"                             Request      both   V2025_11_25 V2025_11_25 Task      ByShape;
    "tasks/update"                             Request      client V2026_07_28 newest      Task      ByShape;
    "tools/call"                               Request      client V2024_11_05 newest      Tool      Strong;
    "tools/list"                               Request      client V2024_11_05 newest      Nothing   Strong;
};

/// The row of a method, if MCP has it.
#[must_use]
pub fn lookup(name: &str) -> Option<&'static Method> {
    METHODS.binary_search_by(|row| row.name.cmp(name)).ok().and_then(|at| METHODS.get(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_row_is_found() {
        assert!(METHODS.is_sorted_by(|left, right| left.name < right.name));
        for row in METHODS {
            assert_eq!(lookup(row.name).map(|found| found.name), Some(row.name));
            assert!(row.last.is_none_or(|last| last >= row.first), "{} ends before it begins", row.name);
            assert_eq!(row.kind == Kind::Notification, row.name.starts_with("notifications/"), "{}", row.name);
        }
        assert!(lookup("tools/cal").is_none() && lookup("tools/call ").is_none() && lookup("").is_none());
    }
}
