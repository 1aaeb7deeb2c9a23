//! Tables of the commands that list something. Knows no hub.

use comfy_table::{ContentArrangement, Table, presets};

/// Rows under their heads, without lines, as wide as the terminal; what stands in them is made harmless.
pub fn table<const N: usize>(heads: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    // A pipe gets each row on a line of its own.
    if let Some(size) = rustix::termios::tcgetwinsize(std::io::stdout()).ok().filter(|size| size.ws_col > 0) {
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(size.ws_col);
    }
    table.set_header(heads);
    for row in rows {
        table.add_row(row.map(|cell| harmless(&cell)));
    }
    // Each cell has a blank on either side.
    let lines = table.to_string();
    let lines: Vec<&str> = lines.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()).collect();
    lines.join("\n")
}

/// Words of others must not move the cursor of somebody's terminal; their lines stay lines.
pub fn harmless(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// The first sentence, or what of it has room: a description is long.
pub fn brief(text: &str, chars_max: usize) -> String {
    let first = text.lines().next().unwrap_or_default();
    let sentence = first.split_once(". ").map_or(first, |(sentence, _)| sentence).trim_end_matches('.');
    match sentence.char_indices().nth(chars_max) {
        Some((at, _)) => format!("{}…", sentence[..at].trim_end()),
        None => sentence.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_under_their_heads() {
        let shown = table(["name", "what"], [["a".into(), "one\u{1b}[2J".into()], ["long".into(), "two".into()]]);
        assert_eq!(shown, "name  what\na     one[2J\nlong  two");
    }

    #[test]
    fn a_description_is_cut_at_its_first_sentence() {
        assert_eq!(brief("Reads a file. Then more.", 40), "Reads a file");
        assert_eq!(brief("Reads v1.2 files\nand more", 40), "Reads v1.2 files");
        assert_eq!(brief("äöü äöü", 3), "äöü…");
        assert_eq!(brief("", 3), "");
    }
}
