//! No secret of an input goes anywhere. In the cases every secret has `hunter` in it.

use howdah_import::{import, text};

use crate::{cases, inputs};

#[test]
fn no_secret_leaves_its_input() {
    let mut held = 0;
    for case in cases() {
        let inputs = inputs(&case);
        held += inputs.iter().map(|input| input.text.matches("hunter").count()).sum::<usize>();
        let imported = import(&inputs).expect("an import");
        let all = [
            imported.toml.clone(),
            text(&imported),
            serde_json::to_string(&imported).expect("JSON"),
            format!("{imported:?}"),
        ];
        for said in all {
            assert!(!said.contains("hunter"), "{}: {said}", case.display());
        }
    }
    assert!(held > 40, "the cases hold too few secrets to show anything: {held}");
}
