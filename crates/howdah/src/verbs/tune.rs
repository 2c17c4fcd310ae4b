//! `howdah tune`: what PostgreSQL gets for this machine, and by which formula.

use crate::facts;
use crate::file::FileArg;
use crate::talk::out;

/// Show the parameters that follow from this machine, with their formulas
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let file = args.file.load()?;
    let machine = facts::machine(&file.spec);
    out(howdah_spec::tune_text(&file.spec, &machine));
    Ok(())
}
