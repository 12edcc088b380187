//! What is put in the place of what: operators, methods that exist in pairs, values that a function could return at once.

use syn::{BinOp, ReturnType, Type};

/// How an operator is written, and what may stand instead of it.
pub fn operator_swaps(operator: &BinOp) -> (&'static str, &'static [&'static str]) {
    match operator {
        BinOp::Add(_) => ("+", &["-"]),
        BinOp::Sub(_) => ("-", &["+"]),
        BinOp::Mul(_) => ("*", &["/"]),
        BinOp::Div(_) => ("/", &["*"]),
        BinOp::Rem(_) => ("%", &["/"]),
        BinOp::And(_) => ("&&", &["||"]),
        BinOp::Or(_) => ("||", &["&&"]),
        BinOp::BitXor(_) => ("^", &["|"]),
        BinOp::BitAnd(_) => ("&", &["|"]),
        BinOp::BitOr(_) => ("|", &["&"]),
        BinOp::Shl(_) => ("<<", &[">>"]),
        BinOp::Shr(_) => (">>", &["<<"]),
        BinOp::Eq(_) => ("==", &["!="]),
        BinOp::Ne(_) => ("!=", &["=="]),
        BinOp::Lt(_) => ("<", &["<=", ">="]),
        BinOp::Le(_) => ("<=", &["<", ">"]),
        BinOp::Ge(_) => (">=", &[">", "<"]),
        BinOp::Gt(_) => (">", &[">=", "<="]),
        BinOp::AddAssign(_) => ("+=", &["-="]),
        BinOp::SubAssign(_) => ("-=", &["+="]),
        BinOp::MulAssign(_) => ("*=", &["/="]),
        BinOp::DivAssign(_) => ("/=", &["*="]),
        BinOp::RemAssign(_) => ("%=", &["/="]),
        BinOp::BitXorAssign(_) => ("^=", &["|="]),
        BinOp::BitAndAssign(_) => ("&=", &["|="]),
        BinOp::BitOrAssign(_) => ("|=", &["&="]),
        BinOp::ShlAssign(_) => ("<<=", &[">>="]),
        BinOp::ShrAssign(_) => (">>=", &["<<="]),
        _ => ("", &[]),
    }
}

/// Methods of the same shape that mean something else.
pub fn method_swaps(name: &str) -> &'static [&'static str] {
    match name {
        "min" => &["max"],
        "max" => &["min"],
        "min_by_key" => &["max_by_key"],
        "max_by_key" => &["min_by_key"],
        "saturating_add" => &["saturating_sub"],
        "saturating_sub" => &["wrapping_sub"],
        "wrapping_add" => &["wrapping_sub"],
        "wrapping_sub" => &["wrapping_add"],
        "is_some" => &["is_none"],
        "is_none" => &["is_some"],
        "is_ok" => &["is_err"],
        "is_err" => &["is_ok"],
        "any" => &["all"],
        "all" => &["any"],
        "before" => &["after"],
        "after" => &["before"],
        _ => &[],
    }
}

/// Values of a return type that need no knowledge of what is returned.
pub fn return_values(output: &ReturnType) -> &'static [&'static str] {
    let ReturnType::Type(_, returned) = output else { return &["()"] };
    let Type::Path(path) = &**returned else { return &[] };
    match path.path.segments.last().map(|last| last.ident.to_string()).as_deref() {
        Some("bool") => &["true", "false"],
        Some("Option") => &["None"],
        _ => &[],
    }
}
