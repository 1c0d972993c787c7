//! An expression's tree, looked through once: every name is known, nothing nests too deep, and whatever costs more the
//! larger a body is goes through a function that takes the cost from the evaluation's allowance.

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::common::types::CelInt;
use regex::{Regex, RegexBuilder};

use super::values::{CONTAINS, DIFFERS, EACH, EQUALS, MATCHES, WEIGH};
use super::{DEPTH_MAX, InvalidExpression, LOOPS_MAX, Subject};

/// Bytes that a compiled pattern may take.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// The functions that an expression may call, besides operators and loops.
const FUNCTIONS: [&str; 13] = [
    "bool",
    "bytes",
    "contains",
    "double",
    "dyn",
    "endsWith",
    "int",
    "matches",
    "size",
    "startsWith",
    "string",
    "type",
    "uint",
];

/// The types that an expression may compare `type(x)` with.
const TYPES: [&str; 10] = ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

/// What stands for a loop's result so far.
const RESULT: &str = "@result";

/// The tree with its guards, and its patterns.
pub(super) fn guard(tree: IdedExpr) -> Result<(IdedExpr, Vec<Regex>), InvalidExpression> {
    let mut guard = Guard { scope: Vec::new(), patterns: Vec::new(), depth: 0, loops: 0 };
    let tree = guard.expression(tree)?;
    Ok((tree, guard.patterns))
}

/// Whether a guarded tree names the body. A loop's variable of that name counts too, which costs only the reading.
pub(super) fn reads_body(tree: &IdedExpr) -> bool {
    let named = matches!(&tree.expr, Expr::Ident(name) if name == "body");
    named || branches(tree).into_iter().any(reads_body)
}

/// How many levels a guarded tree has.
pub(super) fn depth(tree: &IdedExpr) -> usize {
    1 + branches(tree).into_iter().map(depth).max().unwrap_or(0)
}

fn branches(tree: &IdedExpr) -> Vec<&IdedExpr> {
    match &tree.expr {
        Expr::Select(select) => vec![&select.operand],
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => {
            let both = map.entries.iter().map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => [&entry.key, &entry.value],
                EntryExpr::StructField(field) => [&field.value, &field.value],
            });
            both.flatten().collect()
        }
        Expr::Comprehension(inner) => {
            let ComprehensionExpr { iter_range, accu_init, loop_cond, loop_step, result, .. } = &**inner;
            vec![iter_range, accu_init, loop_cond, loop_step, result]
        }
        Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => Vec::new(),
    }
}

struct Guard {
    /// Variables of the loops around.
    scope: Vec<String>,
    patterns: Vec<Regex>,
    depth: usize,
    loops: usize,
}

type Guarded<T> = Result<T, InvalidExpression>;

impl Guard {
    fn expression(&mut self, tree: IdedExpr) -> Guarded<IdedExpr> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(InvalidExpression(format!("an expression nests at most {DEPTH_MAX} deep")));
        }
        let expr = match tree.expr {
            Expr::Literal(literal) => Expr::Literal(literal),
            Expr::Ident(name) => self.name(name)?,
            Expr::Select(mut select) => {
                select.operand = Box::new(self.expression(*select.operand)?);
                Expr::Select(select)
            }
            Expr::Call(call) => self.call(call)?,
            Expr::List(mut list) => {
                list.elements = self.all(list.elements)?;
                Expr::List(list)
            }
            Expr::Map(mut map) => {
                for entry in &mut map.entries {
                    if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                        entry.key = self.expression(std::mem::take(&mut entry.key))?;
                        entry.value = self.expression(std::mem::take(&mut entry.value))?;
                    }
                }
                Expr::Map(map)
            }
            Expr::Comprehension(inner) => Expr::Comprehension(Box::new(self.comprehension(*inner)?)),
            Expr::Struct(other) => {
                return Err(InvalidExpression(format!("there is no type `{}`", other.type_name.escape_debug())));
            }
            Expr::Unspecified => return Err(InvalidExpression("it is not an expression".to_owned())),
        };
        self.depth -= 1;
        Ok(IdedExpr { id: tree.id, expr })
    }

    fn all(&mut self, trees: Vec<IdedExpr>) -> Guarded<Vec<IdedExpr>> {
        trees.into_iter().map(|tree| self.expression(tree)).collect()
    }

    fn name(&self, name: String) -> Guarded<Expr> {
        let known = self.scope.contains(&name);
        if known || Subject::VARIABLES.contains(&name.as_str()) || TYPES.contains(&name.as_str()) {
            return Ok(Expr::Ident(name));
        }
        let variables = Subject::VARIABLES.join("`, `");
        Err(InvalidExpression(format!("there is no variable `{}`; known are `{variables}`", name.escape_debug())))
    }

    fn comprehension(&mut self, inner: ComprehensionExpr) -> Guarded<ComprehensionExpr> {
        let range = self.expression(inner.iter_range)?;
        let accu_init = self.expression(inner.accu_init)?;
        self.loops += 1;
        if self.loops > LOOPS_MAX {
            return Err(InvalidExpression(format!("loops (`all`, `exists`, `map`, …) nest at most {LOOPS_MAX} deep")));
        }
        let outer = self.scope.len();
        self.scope.extend([inner.iter_var.clone(), inner.accu_var.clone()]);
        self.scope.extend(inner.iter_var2.clone());
        let loop_cond = self.expression(inner.loop_cond)?;
        let loop_step = self.expression(inner.loop_step)?;
        let result = self.expression(inner.result)?;
        self.scope.truncate(outer);
        self.loops -= 1;
        Ok(ComprehensionExpr { iter_range: through(EACH, range), accu_init, loop_cond, loop_step, result, ..inner })
    }

    fn call(&mut self, call: CallExpr) -> Guarded<Expr> {
        let name = call.func_name.as_str();
        if name == "matches" {
            return self.matches(call);
        }
        let (name, weighs) = match name {
            operators::EQUALS => (EQUALS, false),
            operators::NOT_EQUALS => (DIFFERS, false),
            operators::IN => (CONTAINS, false),
            // A loop's result grows in place.
            operators::ADD => (name, !is_result(call.args.first())),
            operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS => (name, true),
            _ if is_cheap(name) => (name, false),
            _ if FUNCTIONS.contains(&name) => (name, true),
            _ => {
                let known = FUNCTIONS.join("`, `");
                let name = name.escape_debug();
                return Err(InvalidExpression(format!("there is no function `{name}`; known are `{known}`")));
            }
        };
        let weigh = |tree: IdedExpr| if weighs { through(WEIGH, tree) } else { tree };
        let func_name = name.to_owned();
        let target = match call.target {
            None => None,
            Some(target) => Some(Box::new(weigh(self.expression(*target)?))),
        };
        let args = self.all(call.args)?.into_iter().map(weigh).collect();
        Ok(Expr::Call(CallExpr { func_name, target, args }))
    }

    /// `text.matches('pattern')`: the pattern is compiled here, once, so no body chooses one.
    fn matches(&mut self, call: CallExpr) -> Guarded<Expr> {
        let operands: Vec<_> = call.target.map(|target| *target).into_iter().chain(call.args).collect();
        let Ok([text, pattern]) = <[IdedExpr; 2]>::try_from(operands) else {
            return Err(InvalidExpression("`matches` takes a text and a pattern".to_owned()));
        };
        let Expr::Literal(LiteralValue::String(pattern)) = &pattern.expr else {
            return Err(InvalidExpression("the pattern of `matches` is written in the expression itself".to_owned()));
        };
        let compiled = RegexBuilder::new(pattern.inner()).size_limit(PATTERN_BYTES_MAX).build();
        let compiled = compiled.map_err(|error| {
            let error = error.to_string();
            let last = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            InvalidExpression(format!("pattern `{}`: {last}", pattern.inner().escape_debug()))
        })?;
        let number = i64::try_from(self.patterns.len()).unwrap_or(i64::MAX);
        self.patterns.push(compiled);
        let number = IdedExpr { id: 0, expr: Expr::Literal(LiteralValue::Int(CelInt::from(number))) };
        let args = vec![self.expression(text)?, number];
        Ok(Expr::Call(CallExpr { func_name: MATCHES.to_owned(), target: None, args }))
    }
}

/// Operators that cost the same whatever they are given.
fn is_cheap(name: &str) -> bool {
    let logical = [operators::LOGICAL_AND, operators::LOGICAL_OR, operators::LOGICAL_NOT, operators::CONDITIONAL];
    let arithmetic =
        [operators::SUBSTRACT, operators::MULTIPLY, operators::DIVIDE, operators::MODULO, operators::NEGATE];
    logical.contains(&name)
        || arithmetic.contains(&name)
        || name == operators::INDEX
        || name == operators::NOT_STRICTLY_FALSE
}

fn is_result(tree: Option<&IdedExpr>) -> bool {
    matches!(tree.map(|tree| &tree.expr), Some(Expr::Ident(name)) if name == RESULT)
}

/// `tree`, handed through a function; what is written in the expression needs none.
fn through(function: &str, tree: IdedExpr) -> IdedExpr {
    if matches!(tree.expr, Expr::Literal(_)) {
        return tree;
    }
    IdedExpr {
        id: tree.id,
        expr: Expr::Call(CallExpr { func_name: function.to_owned(), target: None, args: vec![tree] }),
    }
}
