//! Expressions and values as people read them.

use super::expression::dotted;
use cel::common::ast::{Expr, LiteralValue, operators};
use cel::{IdedExpr, Program};

/// A part of an expression as people write it.
pub fn written(part: &IdedExpr, source: &str, program: &Program) -> String {
    if let Some(name) = dotted(part) {
        return name;
    }
    let infix = |function: &str| {
        Some(match function {
            operators::LOGICAL_AND => "&&",
            operators::LOGICAL_OR => "||",
            operators::EQUALS => "==",
            operators::NOT_EQUALS => "!=",
            operators::LESS => "<",
            operators::LESS_EQUALS => "<=",
            operators::GREATER => ">",
            operators::GREATER_EQUALS => ">=",
            operators::ADD => "+",
            operators::SUBSTRACT => "-",
            operators::MULTIPLY => "*",
            operators::DIVIDE => "/",
            operators::MODULO => "%",
            operators::IN => "in",
            _ => return None,
        })
    };
    match &part.expr {
        Expr::Call(call) => {
            let arguments: Vec<String> = call.args.iter().map(|argument| written(argument, source, program)).collect();
            match (infix(&call.func_name), arguments.as_slice()) {
                (Some(sign), [left, right]) => format!("{left} {sign} {right}"),
                _ => match (call.func_name.as_str(), arguments.as_slice()) {
                    (operators::LOGICAL_NOT, [operand]) => format!("!({operand})"),
                    (operators::NEGATE, [operand]) => format!("-{operand}"),
                    (operators::INDEX, [left, index]) => format!("{left}[{index}]"),
                    (operators::CONDITIONAL, [asked, yes, no]) => format!("{asked} ? {yes} : {no}"),
                    (function, _) => match &call.target {
                        Some(target) => format!("{}.{function}({})", written(target, source, program), arguments.join(", ")),
                        None => format!("{function}({})", arguments.join(", ")),
                    },
                },
            }
        }
        Expr::Literal(literal) => match literal {
            LiteralValue::String(text) => format!("{:?}", text.inner()),
            LiteralValue::Boolean(truth) => bool::from(*truth).to_string(),
            LiteralValue::Int(number) => i64::from(*number).to_string(),
            LiteralValue::UInt(number) => u64::from(*number).to_string(),
            LiteralValue::Double(number) => f64::from(*number).to_string(),
            LiteralValue::Null => "null".to_owned(),
            LiteralValue::Bytes(_) => "bytes".to_owned(),
        },
        Expr::List(list) => {
            format!("[{}]", list.elements.iter().map(|element| written(element, source, program)).collect::<Vec<_>>().join(", "))
        }
        Expr::Select(select) if select.test => format!("has({}.{})", written(&select.operand, source, program), select.field),
        Expr::Select(select) => format!("{}.{}", written(&select.operand, source, program), select.field),
        Expr::Comprehension(_) => {
            let range = program.source_info().offset_for(part.id);
            range
                .and_then(|(start, end)| source.get(start as usize..=(end as usize).min(source.len().saturating_sub(1))))
                .map_or_else(|| "a loop".to_owned(), str::to_owned)
        }
        _ => String::new(),
    }
}

/// A value as text, cut.
pub fn shown(value: &cel::Value) -> String {
    let text = match value {
        cel::Value::String(text) => format!("{:?}", text.as_str()),
        cel::Value::Bool(truth) => truth.to_string(),
        cel::Value::Int(number) => number.to_string(),
        cel::Value::UInt(number) => number.to_string(),
        cel::Value::Float(number) => number.to_string(),
        cel::Value::Null => "null".to_owned(),
        cel::Value::List(values) => format!("[{}]", values.iter().take(16).map(shown).collect::<Vec<_>>().join(", ")),
        cel::Value::Map(map) => format!("an object of {} members", map.map.len()),
        other => format!("{other:?}"),
    };
    let end = text.floor_char_boundary(200);
    if end < text.len() { format!("{}…", text.get(..end).unwrap_or_default()) } else { text }
}
