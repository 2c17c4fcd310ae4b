//! The stage: messages from text and back, and both halves of the relay between them.

use howdah_wire::relay::statements::{Held, Known};
use howdah_wire::relay::{ClientHalf, Cuts, Event, Linked, ServerHalf, Then, note, note_failed};

/// No conversation here has more bytes on one line.
const LINE_MAX: usize = 300;

/// Plays the conversation that `script` tells, at every split, and compares all of it.
#[track_caller]
pub fn check(script: &str) {
    check_in(script, &(1..LINE_MAX).rev().collect::<Vec<_>>());
}

/// The same of a client that has prepared `a`.
#[track_caller]
pub fn check_with_a(script: &str) {
    check(&format!(
        "> P(a,one) S
        = P(#1,one) S
        < 1 Z(I)
        : 1 Z(I)
        clean
        {script}"
    ));
}

/// The same in pieces of these sizes.
#[track_caller]
pub fn check_in(script: &str, sizes: &[usize]) {
    let script: Vec<_> = script.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let want = script.join("\n");
    for size in sizes {
        assert_eq!(play(&script, *size), want, "in pieces of {size}");
    }
}

fn play(script: &[&str], size: usize) -> String {
    let mut stage = Stage::new();
    let mut told = Vec::new();
    for line in script {
        let (from, words) = line.split_once(' ').unwrap_or((line, ""));
        match from {
            ">" => stage.said.push(bytes(words, &stage.names)),
            "+" => stage.tell(words),
            "<" => stage.answered.push(bytes(words, &stage.names)),
            _ => continue,
        }
        told.push((*line).to_owned());
        stage.turn(size);
        told.extend(stage.heard());
    }
    told.join("\n")
}

struct Stage {
    client: ClientHalf,
    server: ServerHalf,
    held: Held,
    known: Known,
    said: Vec<Vec<u8>>,
    answered: Vec<Vec<u8>>,
    /// Of the client's, not followed yet.
    rest: Vec<u8>,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    /// The server's names, in their order.
    names: Vec<String>,
    lost: Option<String>,
    not_ahead: Vec<String>,
}

impl Stage {
    fn new() -> Stage {
        Stage {
            client: ClientHalf::new(1_000),
            server: ServerHalf::default(),
            held: Held::default(),
            known: Known::new(10_000, [7; 32]),
            said: Vec::new(),
            answered: Vec::new(),
            rest: Vec::new(),
            to_server: Vec::new(),
            to_client: Vec::new(),
            names: Vec::new(),
            lost: None,
            not_ahead: Vec::new(),
        }
    }

    /// What goes ahead of what the client says next.
    fn tell(&mut self, words: &str) {
        let begun = words.contains("begin").then(|| self.client.begin(&bytes("Q(begin)", &[])));
        let (begun, mut cuts) = (begun.flatten(), Cuts::default());
        let settings = words.contains("settings").then_some("sets");
        self.server.tell_ahead(settings, begun.as_ref(), &mut cuts);
        self.to_server.extend(cuts.to_vec(&[]));
    }

    fn turn(&mut self, size: usize) {
        for said in std::mem::take(&mut self.said) {
            for piece in said.chunks(size) {
                if self.lost.is_some() {
                    return;
                }
                self.rest.extend_from_slice(piece);
                self.speak();
            }
        }
        for answered in std::mem::take(&mut self.answered) {
            let mut there = Vec::new();
            for piece in answered.chunks(size) {
                if self.lost.is_some() {
                    return;
                }
                there.extend_from_slice(piece);
                let used = self.hear(&there);
                there.drain(..used);
                if self.server.is_to_hear_again() {
                    self.say_again();
                }
                // Whatever it waits for may have come.
                self.speak();
            }
        }
    }

    fn speak(&mut self) {
        let (there, mut cuts) = (std::mem::take(&mut self.rest), Cuts::default());
        let followed = self.with(&mut cuts, |client, linked| client.speak(&there, linked));
        match followed {
            Ok(followed) => {
                assert_ne!(followed.then, Then::Gone);
                self.to_server.extend(cuts.to_vec(&there));
                self.rest = there[followed.used..].to_vec();
            }
            Err(lost) => self.lost = Some(format!("client: {lost}")),
        }
        self.hear(&[]);
    }

    fn say_again(&mut self) {
        let mut cuts = Cuts::default();
        let said = self.with(&mut cuts, |client, linked| client.say_again(linked));
        self.to_server.extend(cuts.to_vec(&said.expect("said before")));
    }

    fn with<T>(
        &mut self,
        to_server: &mut Cuts,
        work: impl FnOnce(&mut ClientHalf, &mut Linked<'_>) -> T,
    ) -> T {
        let Stage { client, server, held, known, .. } = self;
        work(client, &mut Linked { server, held, known, settings: 0, to_server })
    }

    fn hear(&mut self, there: &[u8]) -> usize {
        let Stage { client, server, held, not_ahead, .. } = self;
        let (mut cuts, names) = (Cuts::default(), client.names());
        let used = server.hear(there, &mut cuts, |event: Event<'_>| {
            if let Event::NotAhead(ahead, _) = event {
                not_ahead.push(format!("not {ahead:?}"));
            }
            note(&event, names, held);
        });
        for question in server.take_failed().collect::<Vec<_>>() {
            note_failed(question, names, held);
        }
        self.to_client.extend(cuts.to_vec(there));
        used.unwrap_or_else(|lost| {
            self.lost = Some(format!("server: {lost}"));
            there.len()
        })
    }

    /// What has reached either side since this was last asked.
    fn heard(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        for (mark, bytes) in [("=", &mut self.to_server), (":", &mut self.to_client)] {
            if !bytes.is_empty() {
                lines.push(format!("{mark} {}", words(&std::mem::take(bytes), &mut self.names)));
            }
        }
        lines.append(&mut self.not_ahead);
        if let Some(lost) = &self.lost {
            lines.push(format!("lost {lost}"));
            return lines;
        }
        lines.extend(self.server.is_clean().then(|| "clean".to_owned()));
        lines.extend(self.server.is_spent().then(|| "spent".to_owned()));
        lines
    }
}

/// `B(p,a)` and its like, one behind the other; `#1` is the server's first name.
fn bytes(line: &str, names: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = line.trim();
    while let Some(kind) = rest.chars().next() {
        let (inside, after) = match rest[1..].strip_prefix('(') {
            Some(inside) => inside.split_once(')').expect("a bracket's end"),
            None => ("", &rest[1..]),
        };
        let fields: Vec<_> = inside.split(',').map(|field| named(field, names)).collect();
        write(&mut out, kind, &fields);
        rest = after.trim_start();
    }
    out
}

fn named(field: &str, names: &[String]) -> String {
    match field.strip_prefix('#').and_then(|number| number.parse::<usize>().ok()) {
        Some(number) => names[number - 1].clone(),
        None => field.to_owned(),
    }
}

fn write(out: &mut Vec<u8>, kind: char, fields: &[String]) {
    let text = |at: usize| [fields.get(at).map_or("", String::as_str).as_bytes(), b"\0"].concat();
    let body = match (kind, fields.len()) {
        // Of no good message.
        _ if fields[0] == "!" => b"!".to_vec(),
        ('P', _) => [text(0), text(1), vec![0, 0]].concat(),
        ('B', _) => [text(0), text(1), vec![0; 6]].concat(),
        // A client's, and a server's.
        ('D' | 'C', 2) => [fields[0].as_bytes(), &text(1)].concat(),
        ('E', _) if fields[0].len() == 5 => format!("SERROR\0C{}\0\0", fields[0]).into_bytes(),
        ('E', _) => [text(0), vec![0; 4]].concat(),
        ('Q' | 'C', _) => text(0),
        ('Z' | 'D' | 'd', _) => fields[0].as_bytes().to_vec(),
        ('T' | 't', _) => vec![0, 0],
        _ => Vec::new(),
    };
    out.push(u8::try_from(kind).expect("ASCII"));
    out.extend(u32::try_from(body.len() + 4).expect("short").to_be_bytes());
    out.extend(body);
}

/// The same, back.
fn words(bytes: &[u8], names: &mut Vec<String>) -> String {
    let (mut rest, mut words) = (bytes, Vec::new());
    while let [kind, a, b, c, d, after @ ..] = rest {
        let len = u32::from_be_bytes([*a, *b, *c, *d]) as usize - 4;
        let (body, after) = after.split_at(len);
        rest = after;
        words.push(word(*kind, body, names));
    }
    assert!(rest.is_empty(), "whole messages");
    words.join(" ")
}

fn word(kind: u8, body: &[u8], names: &mut Vec<String>) -> String {
    let fields: Vec<_> = body.split(|byte| *byte == 0).collect();
    let mut field = |at: usize| {
        let field = fields.get(at).map_or(String::new(), |f| String::from_utf8_lossy(f).into());
        if !field.starts_with("howdah_") {
            return field;
        }
        let known = names.iter().position(|name| *name == field);
        let at = known.unwrap_or_else(|| {
            names.push(field);
            names.len() - 1
        });
        format!("#{}", at + 1)
    };
    let letter = char::from(kind);
    match kind {
        _ if body == b"!" => format!("{letter}(!)"),
        b'P' | b'B' => format!("{letter}({},{})", field(0), field(1)),
        b'E' if body.starts_with(b"S") => {
            let code = fields.iter().find(|field| field.starts_with(b"C")).expect("a state");
            format!("E({})", String::from_utf8_lossy(&code[1..]))
        }
        // A client's Close and Describe.
        b'C' | b'D'
            if matches!(body, [b'S' | b'P', .., 0]) && fields.len() == 2 && is_named(body) =>
        {
            let name = String::from_utf8_lossy(&body[1..body.len() - 1]).into_owned();
            let of = char::from(body[0]);
            let mut again = |name: &str| word(b'Q', format!("{name}\0").as_bytes(), names);
            format!("{letter}({of},{})", &again(&name)[2..].trim_end_matches(')'))
        }
        b'E' | b'Q' | b'C' => format!("{letter}({})", field(0)),
        b'Z' | b'D' | b'd' => format!("{letter}({})", String::from_utf8_lossy(body)),
        _ => letter.to_string(),
    }
}

/// Tags are words in capitals, and no name here is.
fn is_named(body: &[u8]) -> bool {
    !body[1..].iter().any(u8::is_ascii_uppercase)
}
