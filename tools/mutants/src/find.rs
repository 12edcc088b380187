//! Finding mutants: the usual operators of mutation testing, applied to the code of a file. Left alone are tests, constants
//! (their values are chosen, and a test that repeats one shows nothing), patterns, macros, `Debug` and `Display`, checks that
//! only tests call, and what a feature adds.

use std::ops::Range;

use anyhow::{Context, Result};
use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, BinOp, Expr, Lit, Stmt, UnOp};

use crate::mutant::{Form, Mutant};
use crate::swaps::{method_swaps, operator_swaps, return_values};

/// All mutants of a file, in order.
pub fn mutants_in(file: &str, text: &str) -> Result<Vec<Mutant>> {
    let tree = syn::parse_file(text).with_context(|| format!("parsing {file}"))?;
    let mut finder = Finder { file, text, hooks: vec![], found: vec![] };
    finder.visit_file(&tree);
    Ok(finder.found)
}

struct Finder<'a> {
    file: &'a str,
    text: &'a str,
    /// Variables of this function that only say whether a bug is planted.
    hooks: Vec<String>,
    found: Vec<Mutant>,
}

impl Finder<'_> {
    fn text(&self, node: &impl Spanned) -> &str {
        &self.text[node.span().byte_range()]
    }

    /// `at` is what a reader is pointed to, `range` what is replaced.
    fn add(&mut self, at: Span, range: Range<usize>, what: String, form: Form) {
        // Hooks for planted bugs are dead without their feature.
        let text = &self.text[range.clone()];
        if text.contains("planted!") || self.hooks.iter().any(|hook| text.contains(hook)) {
            return;
        }
        let (line, column) = (at.start().line, at.start().column + 1);
        let source = self.text.lines().nth(line - 1).unwrap_or_default().trim().to_owned();
        self.found.push(Mutant { file: self.file.into(), line, column, range, source, what, form });
    }

    fn instead(&mut self, at: Span, whole: &impl Spanned, what: String, mutated: String) {
        self.add(at, whole.span().byte_range(), what, Form::Instead(mutated));
    }

    /// A condition of `if`, `while` or a guard; of a chain with `let`, its other links.
    fn condition(&mut self, condition: &Expr, values: &[bool]) {
        match condition {
            Expr::Let(_) => {}
            Expr::Binary(chain) if matches!(chain.op, BinOp::And(_)) && has_let(condition) => {
                self.condition(&chain.left, values);
                self.condition(&chain.right, values);
            }
            _ => {
                for value in values {
                    let what = format!("{} -> {value}", short(self.text(condition)));
                    self.add(condition.span(), condition.span().byte_range(), what, Form::Condition(*value));
                }
            }
        }
    }

    fn function(&mut self, attributes: &[Attribute], signature: &syn::Signature, body: &syn::Block) {
        let name = signature.ident.to_string();
        if is_left_alone(attributes) || signature.constness.is_some() || name == "fmt" || name == "check_invariants" {
            return;
        }
        let behind_brace = body.brace_token.span.open().byte_range().end;
        for value in return_values(&signature.output) {
            if body.stmts.is_empty() {
                continue;
            }
            let what = format!("{name} returns {value} at once");
            self.add(
                signature.ident.span(),
                behind_brace..behind_brace,
                what,
                Form::ReturnedAtOnce((*value).to_owned()),
            );
        }
        visit::visit_block(self, body);
        self.hooks.clear();
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_left_alone(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let name =
            item.trait_.as_ref().and_then(|(_, path, _)| path.segments.last()).map(|last| last.ident.to_string());
        if !is_left_alone(&item.attrs) && !matches!(name.as_deref(), Some("Debug" | "Display")) {
            visit::visit_item_impl(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.attrs, &item.sig, &item.block);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.attrs, &item.sig, &item.block);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.function(&item.attrs, &item.sig, body);
        }
    }

    fn visit_expr_if(&mut self, branch: &'ast syn::ExprIf) {
        self.condition(&branch.cond, &[true, false]);
        self.visit_expr(&branch.cond);
        if !self.text(&branch.cond).contains("planted!") {
            self.visit_block(&branch.then_branch);
        }
        if let Some((_, otherwise)) = &branch.else_branch {
            self.visit_expr(otherwise);
        }
    }

    fn visit_expr_while(&mut self, repetition: &'ast syn::ExprWhile) {
        self.condition(&repetition.cond, &[false]);
        visit::visit_expr_while(self, repetition);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if let Some((_, guard)) = &arm.guard {
            self.condition(guard, &[true, false]);
            self.visit_expr(guard);
            if self.text(&**guard).contains("planted!") {
                return;
            }
        }
        self.visit_expr(&arm.body);
    }

    fn visit_stmt(&mut self, statement: &'ast Stmt) {
        let expression = match statement {
            Stmt::Expr(expression, Some(_)) => Some(expression),
            Stmt::Expr(jump @ (Expr::Return(_) | Expr::Break(_) | Expr::Continue(_)), None) => Some(jump),
            _ => None,
        };
        if let Some(expression) = expression
            && can_be_left_out(expression)
        {
            let what = format!("{} left out", short(self.text(expression)));
            self.add(statement.span(), statement.span().byte_range(), what, Form::LeftOut);
        }
        visit::visit_stmt(self, statement);
    }

    fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
        let is_chain = matches!(binary.op, BinOp::And(_)) && (has_let(&binary.left) || has_let(&binary.right));
        if !is_chain {
            let (left, right) = (self.text(&*binary.left), self.text(&*binary.right));
            let (old, swaps) = operator_swaps(&binary.op);
            let all = swaps.iter().map(|new| {
                let is_assignment = new.ends_with('=') && !matches!(*new, "==" | "!=" | "<=" | ">=");
                let mutated =
                    if is_assignment { format!("{left} {new} {right}") } else { format!("({left}) {new} ({right})") };
                (format!("{old} -> {new}"), mutated)
            });
            for (what, mutated) in all.collect::<Vec<_>>() {
                self.instead(binary.op.span(), binary, what, mutated);
            }
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'ast syn::ExprUnary) {
        if matches!(unary.op, UnOp::Not(_)) {
            let (what, mutated) =
                (format!("{} -> without !", short(self.text(unary))), self.text(&*unary.expr).to_owned());
            self.instead(unary.op.span(), unary, what, mutated);
        }
        visit::visit_expr_unary(self, unary);
    }

    fn visit_expr_lit(&mut self, literal: &'ast syn::ExprLit) {
        let Lit::Int(int) = &literal.lit else { return };
        let Ok(value) = int.base10_parse::<u64>() else { return };
        for other in [value.checked_add(1), value.checked_sub(1)].into_iter().flatten() {
            let mutated = format!("{other}{}", int.suffix());
            self.instead(literal.span(), literal, format!("{} -> {mutated}", self.text(literal)), mutated);
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let old = call.method.to_string();
        for new in method_swaps(&old) {
            let (whole, name) = (call.span().byte_range(), call.method.span().byte_range());
            let mutated = format!("{}{new}{}", &self.text[whole.start..name.start], &self.text[name.end..whole.end]);
            self.instead(call.method.span(), call, format!("{old} -> {new}"), mutated);
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_repeat(&mut self, repeat: &'ast syn::ExprRepeat) {
        self.visit_expr(&repeat.expr); // its length is a constant
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if self.text(local).contains("planted!") {
            // `planted!(…) && …` is false without the feature.
            if let syn::Pat::Ident(name) = &local.pat
                && let Some(init) = &local.init
                && self.text(&*init.expr).starts_with("planted!")
            {
                self.hooks.push(name.ident.to_string());
            }
            return;
        }
        visit::visit_local(self, local);
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}
    fn visit_pat(&mut self, _: &'ast syn::Pat) {}
    fn visit_path(&mut self, _: &'ast syn::Path) {}
    fn visit_type(&mut self, _: &'ast syn::Type) {}
    fn visit_generics(&mut self, _: &'ast syn::Generics) {}
    fn visit_expr_const(&mut self, _: &'ast syn::ExprConst) {}
    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_item_enum(&mut self, _: &'ast syn::ItemEnum) {}
    fn visit_item_macro(&mut self, _: &'ast syn::ItemMacro) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_trait_item_const(&mut self, _: &'ast syn::TraitItemConst) {}
    fn visit_macro(&mut self, _: &'ast syn::Macro) {}
}

/// Calls, assignments and jumps.
fn can_be_left_out(expression: &Expr) -> bool {
    match expression {
        Expr::Call(_) | Expr::MethodCall(_) | Expr::Try(_) | Expr::Assign(_) => true,
        Expr::Return(_) | Expr::Break(_) | Expr::Continue(_) => true,
        Expr::Binary(binary) => operator_swaps(&binary.op).0.ends_with('=') && !is_comparison(&binary.op),
        _ => false,
    }
}

fn is_comparison(operator: &BinOp) -> bool {
    matches!(operator, BinOp::Eq(_) | BinOp::Ne(_) | BinOp::Le(_) | BinOp::Ge(_))
}

/// Whether it is a link of a chain that binds something.
fn has_let(condition: &Expr) -> bool {
    match condition {
        Expr::Let(_) => true,
        Expr::Binary(chain) if matches!(chain.op, BinOp::And(_)) => has_let(&chain.left) || has_let(&chain.right),
        _ => false,
    }
}

/// Tests, and what a feature adds.
fn is_left_alone(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let is_cfg = attribute.path().is_ident("cfg");
        attribute.path().is_ident("test")
            || is_cfg
                && attribute.meta.require_list().is_ok_and(|list| {
                    let condition = list.tokens.to_string();
                    condition.contains("test") || condition.contains("feature")
                })
    })
}

/// In one line, of readable length.
fn short(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(SHORT_CHARS) {
        line.truncate(end);
        line.push('…');
    }
    line
}

const SHORT_CHARS: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn whats(text: &str) -> Vec<String> {
        mutants_in("f.rs", text).unwrap().into_iter().map(|mutant| mutant.what).collect()
    }

    #[test]
    fn each_kind_is_found() {
        let found = whats("fn f(x: u8) -> u8 { if x > 2 { return x.min(3); } g(); !x }");
        for what in ["> -> >=", "x > 2 -> true", "2 -> 3", "2 -> 1", "min -> max", "g() left out", "!x -> without !"] {
            assert!(found.iter().any(|found| found == what), "{what} is not in {found:?}");
        }
        assert!(found.iter().any(|found| found == "return x.min(3) left out"), "{found:?}");
    }

    #[test]
    fn what_is_no_code_is_left_alone() {
        let nothing = [
            "const A: u8 = 1 + 2;",
            "const fn f() -> u8 { 1 + 2 }",
            "#[cfg(test)] mod tests { fn f() -> bool { 1 < 2 } }",
            "#[test] fn f() { g(); }",
            "impl Debug for A { fn fmt(&self) { g(1); } }",
            "fn f(x: u8) -> u8 { match x { 1 | 2 => x, _ => x } }",
            "fn f() -> A { [A; 3] }",
            "fn f(x: X) -> A { let bug = planted!(x, Y) && x.z; if bug { x } else { x } }",
            "fn f(x: X) -> A { if planted!(x, Y) { 1 } else { x } }",
        ];
        for text in nothing {
            assert_eq!(whats(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn chains_that_bind_keep_their_links() {
        let found = whats("fn f(a: A) -> B { if a.b && let Some(c) = a.d && c.e { c } else { a } }");
        assert_eq!(found, ["a.b -> true", "a.b -> false", "c.e -> true", "c.e -> false"]);
    }
}
