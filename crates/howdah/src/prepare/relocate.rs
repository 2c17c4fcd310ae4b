//! The same cluster file for a machine that keeps its things elsewhere.

use std::path::Path;

/// `text`, as `to_toml` wrote it, with every path below `from` put below `to`. Other machines'
/// paths below it change too: nobody reads them here.
pub fn relocate(text: &str, from: &Path, to: &Path) -> String {
    let (from, to) = (from.to_string_lossy(), to.to_string_lossy());
    text.replace(&format!("\"{from}\""), &format!("\"{to}\""))
        .replace(&format!("\"{from}/"), &format!("\"{to}/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_below_the_old_place_move_and_no_others() {
        let text =
            "base_dir = \"/a/b\"\ndata_dir = \"/a/b/n/data\"\npath = \"/a/bc\"\nx = \"y /a/b/\"\n";
        let moved =
            "base_dir = \"/z\"\ndata_dir = \"/z/n/data\"\npath = \"/a/bc\"\nx = \"y /a/b/\"\n";
        assert_eq!(relocate(text, Path::new("/a/b"), Path::new("/z")), moved);
    }
}
