//! All inputs together: read, carried, settled. Where equals differ, the later one counts.

use serde::Serialize;

use crate::draft::{Draft, LeafId, Rank};
use crate::env::dotenv::{self, Pair};
use crate::env::{self, Scope, Variable};
use crate::finding::{Fate, Finding};
use crate::input::{Input, Kind, recognise};
use crate::patroni::carry::{Document, Patroni};
use crate::patroni::{self, environment};
use crate::table;
use crate::tree::Tree;
use crate::yaml::{self, Node, Path};
use crate::{cnpg, compose, conf, hba, pgbouncer};

/// A cluster file, and what became of everything that was read.
#[derive(Clone, Debug, Serialize)]
pub struct Imported {
    /// The text of `howdah.toml`, which its own parser takes.
    pub toml: String,
    /// One for each key of each input, in their order.
    pub findings: Vec<Finding>,
    /// Where the file expects secrets that the inputs held.
    pub secrets: Vec<Secret>,
    /// Should be empty: what the parser still refuses.
    pub mistakes: Vec<String>,
}

/// A secret that an input held and the cluster file does not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Secret {
    /// Such as `role app`.
    pub of: String,
    /// Where to put it.
    pub place: String,
    /// `file:line` where it was found.
    pub found: String,
}

/// An input cannot be read at all.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadInput {
    #[error("cannot tell what this file is: `{file}`")]
    Unrecognised { file: String },
    #[error("{file}:{line}: {what}")]
    Garbled { file: String, line: usize, what: String },
    #[error("nothing in it: `{file}`")]
    Empty { file: String },
}

/// What an input is taken for.
pub fn kind_of(input: &Input) -> Option<Kind> {
    recognise(input)
}

/// Reads all inputs into one cluster file; fails with everything that cannot be read.
pub fn import(inputs: &[Input]) -> Result<Imported, Vec<BadInput>> {
    let parsed = parse(inputs)?;
    let mut run = Run::default();
    for (input, kind, documents) in &parsed {
        run.open(input, *kind, documents);
    }
    run.carry();
    let Run { mut draft, .. } = run;
    let settled = draft.settle();
    let secrets = draft.secrets().into_iter();
    Ok(Imported {
        toml: settled.text,
        findings: draft.findings(),
        secrets: secrets.map(|(of, place, found)| Secret { of, place, found }).collect(),
        mistakes: settled.mistakes.0.iter().map(ToString::to_string).collect(),
    })
}

/// An input with its kind and, where it is YAML, its documents.
type Parsed<'i> = (&'i Input, Kind, Vec<Node>);

fn parse(inputs: &[Input]) -> Result<Vec<Parsed<'_>>, Vec<BadInput>> {
    let mut bad = Vec::new();
    let mut parsed = Vec::new();
    for input in inputs {
        match parse_one(input) {
            Ok(one) => parsed.push(one),
            Err(error) => bad.push(error),
        }
    }
    if bad.is_empty() { Ok(parsed) } else { Err(bad) }
}

fn parse_one(input: &Input) -> Result<Parsed<'_>, BadInput> {
    let file = input.file.clone();
    let Some(kind) = recognise(input) else {
        return Err(match yaml_error(input) {
            Some(error) => error,
            None if input.text.trim().is_empty() => BadInput::Empty { file },
            None => BadInput::Unrecognised { file },
        });
    };
    if !kind.is_yaml() {
        return Ok((input, kind, Vec::new()));
    }
    let documents = yaml::documents(&input.text).map_err(|error| BadInput::Garbled {
        file: file.clone(),
        line: error.line,
        what: error.what,
    })?;
    match documents.iter().find(|document| !document.is_map()) {
        Some(other) => {
            let what = "not keys and values".to_owned();
            Err(BadInput::Garbled { file, line: other.line, what })
        }
        None if documents.is_empty() => Err(BadInput::Empty { file }),
        None => Ok((input, kind, documents)),
    }
}

/// For a file that is YAML by its name: why it could not be read.
fn yaml_error(input: &Input) -> Option<BadInput> {
    let named = input.file.ends_with(".yml") || input.file.ends_with(".yaml");
    let error = yaml::documents(&input.text).err().filter(|_| named)?;
    Some(BadInput::Garbled { file: input.file.clone(), line: error.line, what: error.what })
}

/// What has been opened, by kind.
#[derive(Default)]
struct Run<'i> {
    draft: Draft,
    patroni: Patroni<'i>,
    manifests: Vec<Tree<'i>>,
    composes: Vec<Tree<'i>>,
    scopes: Vec<Scope>,
    files: Vec<(usize, &'i Input, Kind)>,
}

/// Patroni's variables of one scope, in the form of its file.
struct Variables {
    source: usize,
    root: Path,
    node: Node,
    /// The node that the scope is of.
    name: Option<String>,
}

impl Variables {
    fn document(&self) -> Document<'_> {
        let tree = Tree { source: self.source, root: self.root.clone(), node: &self.node };
        Document { tree, rank: Rank::Override, name: self.name.clone() }
    }
}

impl<'i> Run<'i> {
    fn open(&mut self, input: &'i Input, kind: Kind, documents: &'i [Node]) {
        let source = self.draft.open(&input.file);
        let several = documents.len() > 1;
        for (place, node) in documents.iter().enumerate() {
            let root = if several { Path(vec![place.to_string()]) } else { Path::default() };
            self.draft.leaves(source).add_tree(&root, node);
            self.call_by_kind(source, &root, node);
            let tree = Tree { source, root, node };
            match kind {
                Kind::Patroni => {
                    let document = Document { tree, rank: Rank::Local, name: None };
                    self.patroni.documents.push(document);
                }
                Kind::PatroniDynamic => self.patroni.shared.push(tree),
                Kind::CloudNativePg => self.manifests.push(tree),
                _ => self.composes.push(tree),
            }
        }
        self.draft.has_rules |= kind == Kind::PgHba;
        match kind {
            Kind::Env => self.env(source, input),
            kind if !kind.is_yaml() => self.files.push((source, input, kind)),
            _ => {}
        }
    }

    /// Of several documents a finding names the kind, not the number.
    fn call_by_kind(&mut self, source: usize, root: &Path, node: &Node) {
        if root.0.is_empty() {
            return;
        }
        let kind = node.get("kind").and_then(Node::text).unwrap_or("document");
        for leaf in node.leaves() {
            let path = Path(root.0.iter().chain(&leaf.path.0).cloned().collect());
            if let Some(id) = self.draft.leaves(source).find(&path) {
                self.draft.leaves(source).call(id, &format!("{kind} {}", leaf.path));
            }
        }
    }

    fn env(&mut self, source: usize, input: &Input) {
        let mut pairs: Vec<(Pair, LeafId)> = Vec::new();
        for read in dotenv::pairs(&input.text) {
            match read {
                Ok(pair) => {
                    let leaf = self.draft.leaves(source).add(&pair.name, pair.line);
                    pairs.push((pair, leaf));
                }
                Err(dotenv::Garbled(line)) => {
                    let leaf = self.draft.leaves(source).add(&format!("line {line}"), line);
                    self.draft.tell(leaf, Fate::Unknown("not NAME=value".to_owned()));
                }
            }
        }
        let variables = pairs.into_iter().filter_map(|(pair, leaf)| {
            // Of a name that stands twice the last one counts.
            let counts =
                self.draft.leaves(source).find(&Path(vec![pair.name.clone()])) == Some(leaf);
            counts.then_some(Variable { name: pair.name, value: pair.value, leaf })
        });
        let variables = variables.collect();
        self.scopes.push(Scope { variables, node: None, container: false });
    }

    fn carry(&mut self) {
        let mut nodes = 0;
        for tree in &self.composes {
            let found = compose::open(&mut self.draft, tree);
            nodes += found.nodes;
            self.scopes.extend(found.scopes);
        }
        let variables = self.patronis_variables();
        let mut all = self.patroni.clone();
        all.documents.extend(variables.iter().map(Variables::document));
        // Who replicates decides what some rules and logins are for.
        let replicators = patroni::carry::replicators(&all.documents);
        self.draft.replicators = replicators.chain(env::replicators(&self.scopes)).collect();
        for (source, input, kind) in std::mem::take(&mut self.files) {
            self.file(source, input, kind);
        }
        for tree in &self.composes {
            compose::carry(&mut self.draft, tree);
        }
        nodes += cnpg::carry(&mut self.draft, &self.manifests);
        if nodes > 1 {
            self.draft.hints.extend(HINTS.map(str::to_owned));
        }
        patroni::carry::carry(&mut self.draft, &all);
        env::carry(&mut self.draft, &self.scopes);
        for tree in &self.composes {
            compose::tell_rest(&mut self.draft, tree);
        }
        self.rest_of_env();
    }

    fn file(&mut self, source: usize, input: &Input, kind: Kind) {
        match kind {
            Kind::PgHba => {
                for (leaf, line) in self.lines(source, input) {
                    hba::take(&mut self.draft, leaf, &line, Rank::Conf);
                }
            }
            Kind::PgIdent => {
                let what = "there are no maps of system users; give the role a password";
                for (leaf, _) in self.lines(source, input) {
                    self.draft.tell(leaf, Fate::not_carried(what));
                }
            }
            Kind::PgBouncer => pgbouncer::carry(&mut self.draft, source, input),
            Kind::PostgresqlAutoConf => conf::carry(&mut self.draft, source, input, Rank::System),
            _ => conf::carry(&mut self.draft, source, input, Rank::Conf),
        }
    }

    /// Rules, each with a leaf that is called by its first words.
    fn lines(&mut self, source: usize, input: &'_ Input) -> Vec<(LeafId, String)> {
        hba::logical_lines(&input.text)
            .into_iter()
            .map(|(number, line)| {
                let path = Path(vec![number.to_string()]);
                let leaf = self.draft.leaves(source).add_at(&path, &hba::called(&line), number);
                (leaf, line)
            })
            .collect()
    }

    /// `PATRONI_*` of each scope as a document of Patroni's.
    fn patronis_variables(&mut self) -> Vec<Variables> {
        let mut found = Vec::new();
        for (place, scope) in self.scopes.iter().enumerate() {
            let root = Path(vec![PATRONIS_VARIABLES.to_owned(), place.to_string()]);
            let mut document: Option<Variables> = None;
            for Variable { name, value, leaf } in &scope.variables {
                let Some(path) = environment::path_of(name).filter(|_| !value.is_empty()) else {
                    continue;
                };
                let whole = Path(root.0.iter().chain(&path.0).cloned().collect());
                self.draft.leaves(leaf.source).alias(&whole, *leaf);
                let document = document.get_or_insert_with(|| Variables {
                    source: leaf.source,
                    root: root.clone(),
                    node: Node::scalar(1, ""),
                    name: scope.node.clone(),
                });
                let node = std::mem::replace(&mut document.node, Node::scalar(1, ""));
                document.node = environment::overlay(node, [(name.as_str(), value.as_str())]);
            }
            found.extend(document);
        }
        found
    }

    fn rest_of_env(&mut self) {
        let sources: Vec<usize> = self
            .scopes
            .iter()
            .filter(|scope| !scope.container)
            .filter_map(|scope| Some(scope.variables.first()?.leaf.source))
            .collect();
        for source in sources {
            table::tell_rest(&mut self.draft, source, &Path::default(), [], env::UNKNOWN);
        }
    }
}

/// Begins the way to a leaf under the name that Patroni's own file has for it.
const PATRONIS_VARIABLES: &str = "\u{0}PATRONI";

const HINTS: [&str; 4] = [
    "Each node of a machine of its own needs that machine's address:",
    "  host = \"10.0.0.1\"",
    "  listen = [\"10.0.0.1\", \"127.0.0.1\"]",
    "and all of them a common store: a table [store.etcd] with managed = true.",
];
