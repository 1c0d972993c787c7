//! Prints the description of scheme files: `schema` in JSON, `page` in Markdown. `cargo xtask reference` keeps both in docs/.

fn main() {
    let text = match std::env::args().nth(1).as_deref() {
        Some("page") => hookward::reference::page(),
        _ => format!("{:#}\n", hookward::reference::json_schema()),
    };
    print!("{text}");
}
