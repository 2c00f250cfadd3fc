//! Looks whether there is what an expression names.

use super::diagnostic::nearest;
use super::expression::{Name, Names, Wrong, dotted};
use super::field::Type;
use super::plain::row_type;
use cel::common::ast::{Expr, operators};
use cel::{IdedExpr, Program};
use rustc_hash::FxHashMap;

/// Loops (`exists`, `map`) inside of loops at most.
const MAX_LOOPS: usize = 2;

/// Functions that a condition can call.
const FUNCTIONS: &[&str] = &[
    "like",
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "string",
    "int",
    "uint",
    "double",
    "bool",
    "bytes",
    "type",
    "dyn",
    "has",
    "exists",
    "exists_one",
    "all",
    "map",
    "filter",
    "max",
    "min",
];

/// Goes through an expression and looks whether there is what it names.
pub struct Walk<'a> {
    pub program: &'a Program,
    pub names: &'a Names,
    pub wrong: Vec<Wrong>,
    pub spoken: FxHashMap<String, Name>,
    /// Variables of the loops around.
    pub bound: Vec<String>,
}

impl Walk<'_> {
    fn at(&self, part: &IdedExpr) -> usize {
        self.program.source_info().offset_for(part.id).map_or(0, |(start, _)| start as usize)
    }

    pub fn expression(&mut self, part: &IdedExpr, loops: usize) {
        if let Some(name) = dotted(part) {
            self.name(part, &name);
            return;
        }
        match &part.expr {
            Expr::Call(call) => {
                let function = call.func_name.as_str();
                let is_sign = function.contains(['_', '@']) || function == operators::NOT_STRICTLY_FALSE;
                if !is_sign && !FUNCTIONS.contains(&function) {
                    self.wrong.push(Wrong {
                        at: self.at(part),
                        message: format!("there is no function `{function}`"),
                        help: nearest(function, FUNCTIONS.iter().copied()),
                    });
                }
                for argument in call.target.as_deref().into_iter().chain(&call.args) {
                    self.expression(argument, loops);
                }
            }
            Expr::Comprehension(comprehension) => {
                if loops >= MAX_LOOPS {
                    self.wrong.push(Wrong {
                        at: self.at(part),
                        message: format!("more than {MAX_LOOPS} loops inside of each other"),
                        help: "such a condition takes too long".to_owned(),
                    });
                    return;
                }
                self.expression(&comprehension.iter_range, loops);
                let before = self.bound.len();
                self.bound.push(comprehension.iter_var.clone());
                self.bound.extend(comprehension.iter_var2.clone());
                self.bound.push(comprehension.accu_var.clone());
                for inner in [&comprehension.accu_init, &comprehension.loop_cond, &comprehension.loop_step, &comprehension.result] {
                    self.expression(inner, loops + 1);
                }
                self.bound.truncate(before);
            }
            Expr::List(list) => list.elements.iter().for_each(|element| self.expression(element, loops)),
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let cel::common::ast::EntryExpr::MapEntry(entry) = &entry.expr {
                        self.expression(&entry.key, loops);
                        self.expression(&entry.value, loops);
                    }
                }
            }
            Expr::Select(select) => self.expression(&select.operand, loops),
            Expr::Struct(_) => {
                self.wrong.push(Wrong { at: self.at(part), message: "there are no structures".to_owned(), help: String::new() });
            }
            Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
        }
    }

    /// A name, of which the beginning is what there is, and the rest is looked up in it.
    fn name(&mut self, part: &IdedExpr, name: &str) {
        let root = name.split('.').next().unwrap_or_default();
        if self.bound.iter().any(|bound| bound == root) {
            return;
        }
        let mut end = name.len();
        loop {
            let prefix = name.get(..end).unwrap_or_default();
            if let Some(found) = self.names.find(prefix) {
                let has_members = match found {
                    Name::Field(field) => matches!(row_type(field), Type::Json),
                    Name::Constant(index) => self.names.value(index).is_some_and(serde_json::Value::is_object),
                    _ => false,
                };
                if end == name.len() || has_members {
                    self.spoken.insert(prefix.to_owned(), found);
                    return;
                }
                break;
            }
            match prefix.rfind('.') {
                Some(dot) => end = dot,
                None => break,
            }
        }
        let known = self.names.all().collect::<Vec<_>>();
        self.wrong.push(Wrong { at: self.at(part), message: format!("there is no `{name}`"), help: nearest(name, known) });
    }
}
