//! `howdah import`: what others configure PostgreSQL with becomes a cluster file.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, stdin};
use std::path::{Path, PathBuf};

use anyhow::Context;
use howdah_import::{
    BadInput, INCLUDE_DEPTH_MAX, Imported, Include, IncludeWhat, Included, Input, Kind, import,
    includes, kind_of, text,
};
use howdah_spec::{NodeKind, parameters};
use serde_json::json;

use super::init::write_new;
use crate::facts;
use crate::failure::{Failure, why};
use crate::file;
use crate::talk::{out, say};

/// Make a cluster file from what others configure PostgreSQL with
///
/// Reads postgresql.conf, postgresql.auto.conf, pg_hba.conf, patroni.yml (one a node), what
/// patronictl show-config prints, CloudNativePG's manifests, compose files and files of
/// environment variables, any number at once. Says of each key whether it was carried over,
/// replaced by what Howdah does itself, or is to be done by hand. Passwords stay out of the file.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Files to read; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// What they are [default: seen by their content]
    #[arg(long, value_name = "KIND", value_parser = kinds())]
    kind: Option<String>,
    /// Where to write the cluster file, which must not exist; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "howdah.toml")]
    output: PathBuf,
    /// Print what became of each key as JSON
    #[arg(long)]
    json: bool,
}

fn kinds() -> clap::builder::PossibleValuesParser {
    Kind::WORDS.map(|(word, _)| word).into()
}

/// More is not a configuration.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Files that one file includes, at any depth.
const INCLUDED_MAX: usize = 1000;

pub fn run(args: &Args) -> anyhow::Result<()> {
    let to_stdout = args.output.as_os_str() == "-";
    if !to_stdout && args.output.exists() {
        let message = format!("the file exists already: `{}`", args.output.display());
        let hint = "--output, to write another; --output - to see what it would be";
        return Err(Failure::bad_input(message).hint(hint).into());
    }
    let kind = args
        .kind
        .as_deref()
        .and_then(|kind| Kind::WORDS.iter().find(|(word, _)| *word == kind).map(|(_, kind)| *kind));
    let inputs = inputs(&args.files, kind)?;
    let mut imported = import(&inputs).map_err(|bad| rejected(&bad))?;
    check_parameters(&mut imported, &args.output);
    if to_stdout && !args.json {
        out(&imported.toml);
        say(text(&imported));
    } else {
        show(args, &imported)?;
    }
    if !to_stdout {
        write_new(&args.output, &imported.toml)?;
        said_what_is_next(&args.output, &inputs);
    }
    Ok(())
}

/// What the server that will run does not take is not carried over, where one is installed to be
/// asked.
fn check_parameters(imported: &mut Imported, output: &Path) {
    let name = file::shown(output);
    let place = std::path::absolute(output).unwrap_or_else(|_| output.to_owned());
    let (parsed, _) = howdah_spec::parse_leniently(&name, &imported.toml, &file::context(&place));
    let mut data = parsed.spec.nodes.values().filter(|node| node.kind == NodeKind::Data);
    let Some(node) = data.next() else { return };
    let server = match facts::server(&parsed.spec, node) {
        Ok(server) => server,
        Err(error) => {
            say(format!("hint: the parameters are not checked, howdah check does it: {error:#}"));
            return;
        }
    };
    for mistake in parameters::check_against(&name, &parsed, &server.parameters) {
        let why = format!("{}; {}", mistake.what, mistake.hint);
        if !imported.leave_out(mistake.line, &why) {
            imported.mistakes.push(mistake.to_string());
        }
    }
}

fn show(args: &Args, imported: &Imported) -> anyhow::Result<()> {
    if !args.json {
        out(text(imported));
        return Ok(());
    }
    let output = args.output.display().to_string();
    let mut told = serde_json::to_value(imported).context("write the findings as JSON")?;
    if let Some(told) = told.as_object_mut() {
        told.insert("output".to_owned(), json!(output));
    }
    out(serde_json::to_string_pretty(&told).context("write the findings as JSON")?);
    Ok(())
}

fn said_what_is_next(path: &Path, inputs: &[Input]) {
    let shown = path.display();
    say(format!("wrote the cluster file: `{shown}`"));
    let named =
        if path == Path::new("howdah.toml") { String::new() } else { format!(" -f {shown}") };
    let is = |kinds: &[Kind]| inputs.iter().filter_map(kind_of).any(|kind| kinds.contains(&kind));
    if is(&[Kind::Patroni]) && !is(&[Kind::PatroniDynamic]) {
        say("hint: the store may say otherwise; import what patronictl show-config prints too");
    }
    let take = if is(&[Kind::Patroni]) { "howdah adopt --patroni" } else { "howdah adopt" };
    say(format!("hint: read it, then howdah check{named}; {take} takes over what runs"));
}

/// All files, or everything that cannot be read.
fn inputs(files: &[PathBuf], kind: Option<Kind>) -> anyhow::Result<Vec<Input>> {
    let read: Vec<_> = files.iter().map(|file| input(file, kind)).collect();
    let bad: Vec<String> = read.iter().filter_map(|read| read.as_ref().err().cloned()).collect();
    if !bad.is_empty() {
        return Err(Failure::bad_input(bad.join("\n")).into());
    }
    Ok(read.into_iter().flatten().collect())
}

fn input(path: &Path, kind: Option<Kind>) -> Result<Input, String> {
    let text = if path.as_os_str() == "-" { read_stdin()? } else { read(path)? };
    let mut input = Input { file: path.display().to_string(), text, kind, included: Vec::new() };
    if matches!(kind_of(&input), Some(Kind::PostgresqlConf | Kind::PostgresqlAutoConf)) {
        let mut left = INCLUDED_MAX;
        input.included = included(path, &input.text, 0, &mut left);
    }
    Ok(input)
}

fn read_stdin() -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = stdin().lock().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("cannot read standard input, {}", why(&error)))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(too_large("standard input"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The text of a file, or why there is none.
fn read(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let cannot = |error| format!("cannot read the file, {}: `{shown}`", why(&error));
    let about = fs::metadata(path).map_err(cannot)?;
    if about.is_dir() {
        return Err(format!("a directory, not a file: `{shown}`"));
    }
    if about.len() > FILE_BYTES_MAX {
        return Err(too_large(&shown.to_string()));
    }
    fs::read(path).map_err(cannot).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn too_large(what: &str) -> String {
    format!("larger than {} MB, so no configuration: `{what}`", FILE_BYTES_MAX >> 20)
}

/// What the `include` lines of a postgresql.conf lead to, from its own folder. `left` is how many
/// files may still be read: one that includes itself twice would not end within a lifetime.
fn included(path: &Path, text: &str, depth: usize, left: &mut usize) -> Vec<Included> {
    if depth >= INCLUDE_DEPTH_MAX {
        return Vec::new();
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut one = |path: &Path| {
        *left = left.checked_sub(1).ok_or("too many files are included")?;
        let text = read(path)?;
        let included = included(path, &text, depth + 1, left);
        Ok(Input { file: path.display().to_string(), text, kind: None, included })
    };
    let mut files = |include: &Include| {
        let target = folder.join(&include.path);
        match include.what {
            IncludeWhat::IfExists if !target.exists() => Ok(Vec::new()),
            IncludeWhat::File | IncludeWhat::IfExists => Ok(vec![one(&target)?]),
            IncludeWhat::Dir => of_dir(&target)?.iter().map(|path| one(path)).collect(),
        }
    };
    let lead = |include: &Include| Included { line: include.line, files: files(include) };
    includes(text).iter().map(lead).collect()
}

/// The files that `include_dir` means, in its order.
fn of_dir(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let cannot = |error| format!("cannot read the directory, {}: `{}`", why(&error), dir.display());
    let entries = fs::read_dir(dir).map_err(cannot)?;
    let mut files: Vec<PathBuf> =
        entries.take(INCLUDED_MAX).flatten().map(|entry| entry.path()).collect();
    let is_meant = |path: &PathBuf| {
        let hidden =
            path.file_name().and_then(OsStr::to_str).is_none_or(|name| name.starts_with('.'));
        path.extension().is_some_and(|extension| extension == "conf") && !hidden && path.is_file()
    };
    files.retain(is_meant);
    files.sort();
    Ok(files)
}

/// Everything that cannot be read, at once.
fn rejected(bad: &[BadInput]) -> Failure {
    let lines: Vec<String> = bad.iter().map(ToString::to_string).collect();
    let failure = Failure::bad_input(lines.join("\n"));
    match bad.iter().any(|bad| matches!(bad, BadInput::Unrecognised { .. })) {
        true => failure.hint("name its kind with --kind"),
        false => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of this test's own with these files in it.
    fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let top = std::env::temp_dir().join(format!("howdah-import-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&top);
        for (file, text) in files {
            let path = top.join(file);
            fs::create_dir_all(path.parent().expect("folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        top
    }

    fn args(top: &Path, files: &[&str]) -> Args {
        let files = files.iter().map(|file| top.join(file)).collect();
        Args { files, kind: None, output: top.join("howdah.toml"), json: false }
    }

    #[test]
    fn includes_are_read_in_postgresqls_order() {
        let main = "work_mem = 1MB\ninclude_dir 'conf.d'\ninclude_if_exists 'no.conf'\ninclude 'gone.conf'\n";
        let top = folder(
            "includes",
            &[
                ("postgresql.conf", main),
                ("conf.d/10.conf", "work_mem = 2MB\nmax_connections = 50\n"),
                ("conf.d/9.conf", "work_mem = 4MB\ninclude '../deep.conf'\n"),
                ("conf.d/.hidden.conf", "work_mem = 8MB\n"),
                ("conf.d/other.txt", "work_mem = 16MB\n"),
                ("deep.conf", "log_statement = ddl\n"),
            ],
        );
        run(&args(&top, &["postgresql.conf"])).expect("imported");
        let text = fs::read_to_string(top.join("howdah.toml")).expect("written");
        for line in [
            "work_mem = \"4MB\"  # 9.conf:1\n",
            "max_connections = 50  # 10.conf:2\n",
            "log_statement = \"ddl\"  # deep.conf:1\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
        let input = input(&top.join("postgresql.conf"), None).expect("read");
        let missing = input.included.last().expect("included");
        assert!(missing.files.as_ref().expect_err("gone").contains("not found"));
        fs::remove_dir_all(&top).expect("removed");
    }

    #[test]
    fn what_the_server_does_not_know_is_not_carried() {
        let conf = "not_a_thing = 7\nwork_mem = 2MB\nrandom_page_cost = cheap\n";
        let top = folder("unknown", &[("postgresql.conf", conf)]);
        let mut args = args(&top, &["postgresql.conf"]);
        args.json = true;
        run(&args).expect("imported");
        let text = fs::read_to_string(top.join("howdah.toml")).expect("written");
        for line in ["# left out: not_a_thing = 7 ", "# left out: random_page_cost = ", "work_mem"]
        {
            assert!(text.lines().any(|there| there.starts_with(line)), "{text}");
        }
        file::load(&top.join("howdah.toml")).expect("valid");
        fs::remove_dir_all(&top).expect("removed");
    }

    #[test]
    fn a_file_that_includes_itself_ends() {
        let top = folder(
            "circle",
            &[("postgresql.conf", &("include 'postgresql.conf'\n".repeat(9) + "jit = off\n"))],
        );
        run(&args(&top, &["postgresql.conf"])).expect("imported");
        fs::remove_dir_all(&top).expect("removed");
    }

    #[test]
    fn a_cluster_file_that_is_there_is_left_alone() {
        let top = folder("there", &[("db.env", "POSTGRES_DB=shop\n"), ("howdah.toml", "mine\n")]);
        let error = run(&args(&top, &["db.env"])).expect_err("refused");
        assert!(error.to_string().contains("the file exists already"), "{error}");
        assert_eq!(fs::read_to_string(top.join("howdah.toml")).expect("there"), "mine\n");
        fs::remove_dir_all(&top).expect("removed");
    }

    #[test]
    fn everything_that_cannot_be_read_is_named_at_once() {
        let top = folder("bad", &[("a.yml", "scope: [\n"), ("b.txt", "To whom it may concern\n")]);
        let error = run(&args(&top, &["c.env", "d.env"])).expect_err("missing").to_string();
        assert!(error.contains("c.env") && error.contains("d.env"), "{error}");
        let error = run(&args(&top, &["a.yml", "b.txt"])).expect_err("garbled").to_string();
        assert!(
            error.contains("a.yml:") && error.contains("cannot tell what this file is"),
            "{error}"
        );
        assert!(!top.join("howdah.toml").exists());
        fs::remove_dir_all(&top).expect("removed");
    }
}
