//! `assembly/layout.ts` as Rust constants and as C macros.
//!
//! The file holds nothing but comments and `export const NAME: u32 = EXPRESSION;` where the expression is
//! made of integers, earlier names and `+ - * << |`: text that C and Rust read as TypeScript does.

/// One constant and the doc comment above it, lines without their markers.
pub struct Constant {
    doc: Vec<String>,
    name: String,
    expression: String,
}

/// Reads the declaration.
///
/// # Errors
///
/// The first line that is neither a comment nor a constant, with its number.
pub fn parse(text: &str) -> Result<Vec<Constant>, String> {
    let mut constants = Vec::new();
    let mut doc = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(comment) = line.strip_prefix("/**") {
            doc = vec![comment.trim_end_matches("*/").trim().to_owned()];
        } else if let Some(comment) = line.strip_prefix('*') {
            doc.push(comment.trim_end_matches('/').trim().to_owned());
        } else if line.is_empty() || line.starts_with("//") {
            doc.clear();
        } else {
            constants.push(constant(line, std::mem::take(&mut doc)).ok_or_else(|| {
                format!(
                    "line {}: `{line}` is not `export const NAME: u32 = EXPRESSION;`",
                    index + 1
                )
            })?);
        }
    }
    Ok(constants)
}

fn constant(line: &str, doc: Vec<String>) -> Option<Constant> {
    let (name, expression) = line
        .strip_prefix("export const ")?
        .strip_suffix(';')?
        .split_once(": u32 = ")?;
    let is_name = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let is_expression = |c: char| c.is_ascii_alphanumeric() || "_ +-*<|()".contains(c);
    (is_name(name) && expression.chars().all(is_expression)).then(|| Constant {
        doc,
        name: name.to_owned(),
        expression: expression.to_owned(),
    })
}

/// The constants as a Rust source file.
pub fn to_rust(constants: &[Constant]) -> String {
    let mut text = String::new();
    for Constant {
        doc,
        name,
        expression,
    } in constants
    {
        for line in doc {
            text += &format!("/// {line}\n");
        }
        if doc.is_empty() {
            text += "#[allow(missing_docs)]\n";
        }
        text += &format!("pub const {name}: u32 = {expression};\n");
    }
    text
}

/// The constants as a C header.
pub fn to_c(constants: &[Constant]) -> String {
    let mut text = String::from("/* Written by build.rs from assembly/layout.ts. */\n#pragma once\n\n");
    for Constant { name, expression, .. } in constants {
        text += &format!("#define {name} ({expression})\n");
    }
    text
}
