//! What consumers rely on, as lines of text, and the rule by which it grows: lines are added, none is ever taken away.
//!
//! Each line states one fact that a consumer's generated code, its JSON or its stored bytes rest on: a name, a number, a
//! type. So whatever breaks a consumer (removing, renaming, renumbering, retyping, moving into or out of a oneof, using a
//! reserved number again) changes or removes a line, and a line that is missing is all that has to be looked for.

use std::collections::BTreeSet;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet, ServiceDescriptorProto};

/// The package whose contract is kept.
const PACKAGE: &str = "mcp_sensor.v1";

/// The contract, as a set of lines.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Contract(BTreeSet<String>);

impl Contract {
    /// Of these proto files.
    pub fn of(files: &FileDescriptorSet) -> Self {
        let mut contract = Self::default();
        for file in files.file.iter().filter(|file| file.package() == PACKAGE) {
            file.message_type.iter().for_each(|message| contract.message(PACKAGE, message));
            file.enum_type.iter().for_each(|declared| contract.enumeration(PACKAGE, declared));
            file.service.iter().for_each(|service| contract.service(service));
        }
        contract
    }

    /// As it was written by [`Contract::text`]. Lines that begin with `#` say nothing.
    pub fn parse(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect())
    }

    /// As it is committed.
    pub fn text(&self) -> String {
        let head =
            "# The contract that consumers rely on. Lines are added, never changed or removed; `tests/generated` makes and checks it.\n";
        self.0.iter().fold(head.to_owned(), |mut text, line| {
            text.push_str(line);
            text.push('\n');
            text
        })
    }

    /// What a consumer of `self` would miss in `new`, in words. Empty where `new` only adds.
    pub fn broken_by(&self, new: &Self) -> Vec<String> {
        let missing = self.0.difference(&new.0);
        missing
            .map(|line| {
                let subject = subject(line);
                // The same thing, said differently: by its number, or else by its name.
                let now = new.0.difference(&self.0).find(|other| self::subject(other) == subject);
                now.map_or_else(|| format!("gone: {line}"), |now| format!("changed: {line}\n     to: {now}"))
            })
            .collect()
    }

    fn add(&mut self, line: String) {
        self.0.insert(line);
    }

    fn message(&mut self, scope: &str, message: &DescriptorProto) {
        let name = format!("{scope}.{}", message.name());
        self.add(format!("message {name}"));
        message.field.iter().for_each(|field| self.field(&name, message, field));
        message.nested_type.iter().for_each(|nested| self.message(&name, nested));
        message.enum_type.iter().for_each(|nested| self.enumeration(&name, nested));
        for range in &message.reserved_range {
            // The end of a message's range is not in it.
            self.reserve(&name, range.start(), range.end() - 1);
        }
        message.reserved_name.iter().for_each(|reserved| self.add(format!("reserved {name} {reserved:?}")));
    }

    fn field(&mut self, message: &str, of: &DescriptorProto, field: &FieldDescriptorProto) {
        let label = match field.label() {
            Label::Repeated => "repeated ",
            _ if field.proto3_optional() => "optional ",
            _ => "",
        };
        let kind = match field.r#type() {
            Type::Message | Type::Enum | Type::Group => field.type_name().trim_start_matches('.').to_owned(),
            scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
        };
        let oneof = field.oneof_index.filter(|_| !field.proto3_optional()).and_then(|index| of.oneof_decl.get(index as usize));
        let oneof = oneof.map_or_else(String::new, |oneof| format!(" in oneof {}", oneof.name()));
        let packed = field.options.as_ref().and_then(|options| options.packed);
        let packed = packed.map_or_else(String::new, |packed| format!(" packed {packed}"));
        let (number, name, json) = (field.number(), field.name(), field.json_name());
        self.add(format!("field {message} {number} {label}{kind} {name}, in JSON {json}{oneof}{packed}"));
    }

    fn enumeration(&mut self, scope: &str, declared: &EnumDescriptorProto) {
        let name = format!("{scope}.{}", declared.name());
        self.add(format!("enum {name}"));
        declared.value.iter().for_each(|value| self.add(format!("value {name} {} {}", value.number(), value.name())));
        for range in &declared.reserved_range {
            // The end of an enum's range is in it.
            self.reserve(&name, range.start(), range.end());
        }
        declared.reserved_name.iter().for_each(|reserved| self.add(format!("reserved {name} {reserved:?}")));
    }

    /// One line a number, so that a range can grow.
    fn reserve(&mut self, name: &str, first: i32, last: i32) {
        const MOST: i32 = 1_000;
        assert!(last - first < MOST, "{name} reserves {first} to {last}: reserve at most {MOST} numbers at once");
        (first..=last).for_each(|number| self.add(format!("reserved {name} {number}")));
    }

    fn service(&mut self, service: &ServiceDescriptorProto) {
        let name = format!("{PACKAGE}.{}", service.name());
        self.add(format!("service {name}"));
        for method in &service.method {
            let stream = |is_stream| if is_stream { "stream " } else { "" };
            self.add(format!(
                "method {name} {} ({}{}) returns ({}{})",
                method.name(),
                stream(method.client_streaming()),
                method.input_type().trim_start_matches('.'),
                stream(method.server_streaming()),
                method.output_type().trim_start_matches('.'),
            ));
        }
    }
}

/// What a line is about: its kind, where it is, and its number or name.
fn subject(line: &str) -> Vec<&str> {
    line.split(' ').take(3).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELEASED: &str = r#"
        syntax = "proto3";
        package mcp_sensor.v1;
        message Thing {
          enum State { STATE_UNSPECIFIED = 0; ON = 1; }
          reserved 9, 20 to 22;
          reserved "old";
          string id = 1;
          repeated uint64 counts = 2;
          optional bool known = 3;
          State state = 4;
          oneof body { string text = 5; bytes data = 6; }
          map<string, uint64> sums = 7;
        }
        message Other { Thing thing = 1; }
        service Things { rpc Get(Other) returns (stream Thing); }
    "#;

    fn contract(proto: &str) -> Contract {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        std::fs::write(folder.path().join("x.proto"), proto).expect("the file can be written");
        let mut compiler = protox::Compiler::new([folder.path()]).expect("the include path exists");
        compiler.open_file("x.proto").expect("the proto file is valid");
        Contract::of(&compiler.file_descriptor_set())
    }

    /// What breaks where `from` becomes `to` in the released file.
    fn broken(from: &str, to: &str) -> Vec<String> {
        assert!(RELEASED.contains(from), "{from}");
        contract(RELEASED).broken_by(&contract(&RELEASED.replace(from, to)))
    }

    #[test]
    fn each_way_to_break_a_consumer_is_caught() {
        let cases = [
            ("a field removed", "string id = 1;", ""),
            ("a field removed and reserved", "string id = 1;", "reserved 1;"),
            ("a field renumbered", "string id = 1;", "string id = 11;"),
            ("a field renamed", "string id = 1;", "string key = 1;"),
            ("a field renamed in JSON", "string id = 1;", "string id = 1 [json_name = \"key\"];"),
            ("a field retyped", "string id = 1;", "bytes id = 1;"),
            ("a field retyped alike on the wire", "repeated uint64 counts", "repeated int64 counts"),
            ("a field of another enum", "State state = 4;", "Thing state = 4;"),
            ("a field that is repeated now", "string id = 1;", "repeated string id = 1;"),
            ("a field that is repeated no more", "repeated uint64 counts", "uint64 counts"),
            ("a field that is optional now", "string id = 1;", "optional string id = 1;"),
            ("a field that is optional no more", "optional bool known", "bool known"),
            ("a field that is packed no more", "counts = 2;", "counts = 2 [packed = false];"),
            ("a map with other values", "map<string, uint64>", "map<string, string>"),
            ("a field moved into a oneof", "oneof body {", "oneof body { string why = 30; } oneof other {"),
            ("a field moved out of a oneof", "string text = 5; bytes data = 6; }", "bytes data = 6; } string text = 5;"),
            ("a oneof renamed", "oneof body {", "oneof content {"),
            ("a value removed", "ON = 1;", ""),
            ("a value renumbered", "ON = 1;", "ON = 2;"),
            ("a value renamed", "ON = 1;", "YES = 1;"),
            ("an enum renamed", "State", "Condition"),
            ("a reserved number used again", "reserved 9, 20 to 22;", "reserved 20 to 22; string again = 9;"),
            ("a reserved number given back", "20 to 22", "20 to 21"),
            ("a reserved name used again", "reserved \"old\";", "string old = 10;"),
            ("a message removed", "message Other { Thing thing = 1; }", ""),
            ("a message renamed", "Other", "Another"),
            ("a method removed", "rpc Get(Other) returns (stream Thing);", ""),
            ("a method renamed", "rpc Get", "rpc Take"),
            ("a method of another request", "rpc Get(Other)", "rpc Get(Thing)"),
            ("a method of another response", "(stream Thing)", "(stream Other)"),
            ("a method that does not stream", "(stream Thing)", "(Thing)"),
            ("a method that streams requests", "rpc Get(Other)", "rpc Get(stream Other)"),
            ("a service renamed", "service Things", "service Stuff"),
            ("another package", "package mcp_sensor.v1;", "package mcp_sensor.v2;"),
        ];
        for (case, from, to) in cases {
            // What is named is gone wherever it is used: keep the file valid.
            let (from, to) = if case == "a message removed" {
                ("message Other { Thing thing = 1; }\n        service Things { rpc Get(Other)", "service Things { rpc Get(Thing)")
            } else {
                (from, to)
            };
            assert!(!broken(from, to).is_empty(), "{case}");
        }
    }

    #[test]
    fn what_only_adds_breaks_nothing() {
        let cases = [
            ("string id = 1;", "string id = 1; string more = 40;"),
            ("ON = 1;", "ON = 1; OFF = 2;"),
            ("bytes data = 6; }", "bytes data = 6; Other other = 31; }"),
            ("20 to 22", "20 to 30"),
            ("message Other", "message New { string x = 1; } message Other"),
            ("rpc Get", "rpc List(Other) returns (Other); rpc Get"),
            ("string id = 1;", "// Told.\n string id = 1;"),
        ];
        for (from, to) in cases {
            assert_eq!(broken(from, to), Vec::<String>::new(), "{to}");
        }
    }

    #[test]
    fn what_is_broken_is_said_in_words() {
        assert_eq!(
            broken("string id = 1;", "bytes id = 1;"),
            ["changed: field mcp_sensor.v1.Thing 1 string id, in JSON id\n     to: field mcp_sensor.v1.Thing 1 bytes id, in JSON id"]
        );
        assert_eq!(broken("string id = 1;", ""), ["gone: field mcp_sensor.v1.Thing 1 string id, in JSON id"]);
    }

    #[test]
    fn a_contract_is_read_as_it_was_written() {
        let released = contract(RELEASED);
        assert_eq!(Contract::parse(&released.text()), released);
    }
}
