//! Howdah as it comes: three nodes of the built binary, defaults, clients through `rw`.
use crate::{Fault, Stack};
use anyhow::Result;
use howdah_testkit::Plan;
#[derive(Debug)]
pub struct Howdah;
impl Howdah {
    pub fn start() -> Result<Howdah> {
        anyhow::bail!("later")
    }
}
impl Stack for Howdah {
    fn name(&self) -> &'static str {
        "Howdah"
    }
    fn description(&self) -> String {
        String::new()
    }
    fn plan(&self) -> Plan {
        Plan::to(vec![])
    }
    fn amiss(&self) -> Option<String> {
        None
    }
    fn incarnation(&self) -> Option<String> {
        None
    }
    fn inflict(&mut self, _: Fault) -> Result<()> {
        Ok(())
    }
    fn bring_back(&mut self) -> Result<()> {
        Ok(())
    }
    fn keepers(&self) -> Vec<i32> {
        vec![]
    }
    fn logs(&self) -> String {
        String::new()
    }
}
