//! Inputs that were cut, doubled, swapped and overwritten: answered, never died of, and whatever
//! comes of them is a cluster file.

use howdah_import::{Input, Kind, import, patroni, yaml};
use howdah_spec::{Context, parse};

use crate::{cases, inputs};

/// Rounds over all cases. More find more: `HOWDAH_MANGLED=10000`.
const ROUNDS: u64 = 25;

#[test]
fn whatever_is_mangled_is_answered() {
    let rounds = std::env::var("HOWDAH_MANGLED").ok().and_then(|text| text.parse().ok());
    let mut imported = 0;
    for seed in 0..rounds.unwrap_or(ROUNDS) {
        for case in cases() {
            let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
            let inputs: Vec<Input> =
                inputs(&case).into_iter().map(|input| mangle(input, &mut dice)).collect();
            imported += usize::from(answered(&inputs, &format!("{} seed {seed}", case.display())));
        }
    }
    assert!(imported > 100, "nearly nothing could be read: {imported}");
}

/// Whether it could be read.
fn answered(inputs: &[Input], what: &str) -> bool {
    for input in inputs {
        let _ = yaml::documents(&input.text);
        let _ = patroni::read(&input.text);
        let _ = patroni::read_dynamic(&input.text);
    }
    let imported = match import(inputs) {
        Ok(imported) => imported,
        Err(bad) => {
            assert!(!bad.is_empty(), "{what}: refused without a reason");
            return false;
        }
    };
    assert_eq!(imported.mistakes, Vec::<String>::new(), "{what}:\n{}", imported.toml);
    let context = Context { default_base: "/var/lib/howdah".into(), relative_to: "/".into() };
    if let Err(mistakes) = parse("howdah.toml", &imported.toml, &context) {
        panic!("{what}: {mistakes}\n{}", imported.toml);
    }
    true
}

fn mangle(mut input: Input, dice: &mut Dice) -> Input {
    let mut lines: Vec<String> = input.text.lines().map(str::to_owned).collect();
    for _ in 0..dice.below(4) {
        if lines.is_empty() {
            break;
        }
        let (one, two) = (dice.below(lines.len()), dice.below(lines.len()));
        match dice.below(6) {
            0 => drop(lines.remove(one)),
            1 => lines.insert(one, lines[two].clone()),
            2 => lines.swap(one, two),
            3 => lines.truncate(one),
            4 => lines[one] = overwrite(&lines[one], dice),
            _ => lines[one].insert_str(0, "  "),
        }
    }
    input.text = lines.join("\n");
    // Now and then it is taken for something else.
    if dice.below(4) == 0 {
        input.kind = Some(Kind::WORDS[dice.below(Kind::WORDS.len())].1);
    }
    input
}

/// One character becomes one that means something somewhere.
fn overwrite(line: &str, dice: &mut Dice) -> String {
    const SIGNS: &str = "'\"\\:,[]{}#&*!|>%@`=$-+.0\u{0}\t\u{7f}é\u{2028}\u{feff}\n~<";
    let signs: Vec<char> = SIGNS.chars().collect();
    let mut chars: Vec<char> = line.chars().collect();
    if chars.is_empty() {
        return signs[dice.below(signs.len())].to_string();
    }
    let place = dice.below(chars.len());
    chars[place] = signs[dice.below(signs.len())];
    chars.into_iter().collect()
}

/// The same throws for the same seed (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).expect("small")
    }
}
