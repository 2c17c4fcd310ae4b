//! Under which licences other people's code may come: permissive ones, which bind nobody who
//! runs or ships Howdah.

use serde_json::Value;
use spdx::{Expression, LicenseReq, ParseMode};

const ALLOWED: [&str; 11] = [
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    // Permissive, for data: a list of certificate authorities, which reqwest's verifier names for
    // systems that have none of their own. Nothing of it is built for Linux.
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    // aws-lc keeps parts of OpenSSL under its old licence: attribution, no copyleft.
    "OpenSSL",
    "Unicode-3.0",
    "Zlib",
];

/// Complaints about the output of `cargo metadata`.
pub fn check_metadata(metadata: &str) -> Vec<String> {
    let metadata: Value = match serde_json::from_str(metadata) {
        Ok(metadata) => metadata,
        Err(error) => return vec![format!("cannot read the output of `cargo metadata`: {error}")],
    };
    let packages = metadata["packages"].as_array();
    if packages.is_none_or(Vec::is_empty) {
        return vec!["`cargo metadata` lists no packages".to_owned()];
    }
    packages.into_iter().flatten().filter_map(check_package).collect()
}

fn check_package(package: &Value) -> Option<String> {
    let name = package["name"].as_str().unwrap_or("?");
    match package["license"].as_str() {
        None => Some(format!("`{name}` names no licence")),
        Some(licence) => check_licence(licence).map(|why| format!("`{name}`: {why}: `{licence}`")),
    }
}

/// Why an expression does not let us use the code; `None` when it does.
fn check_licence(expression: &str) -> Option<String> {
    match Expression::parse_mode(expression, ParseMode::LAX) {
        Err(error) => Some(format!("cannot read its licence ({})", error.reason)),
        Ok(expression) if expression.evaluate(is_allowed) => None,
        Ok(_) => Some("its licence is not among the allowed".to_owned()),
    }
}

/// An exception (`WITH …`) only ever adds permissions.
fn is_allowed(requirement: &LicenseReq) -> bool {
    requirement.license.id().is_some_and(|id| ALLOWED.contains(&id.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissive_licences_pass() {
        for fine in [
            "MIT",
            "MIT OR Apache-2.0",
            "MIT/Apache-2.0",
            "Apache-2.0 WITH LLVM-exception OR MIT",
            "ISC AND (Apache-2.0 OR ISC) AND OpenSSL",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "GPL-3.0-only OR MIT",
        ] {
            assert_eq!(check_licence(fine), None, "{fine}");
        }
    }

    #[test]
    fn what_binds_us_is_found() {
        for bad in ["GPL-3.0-only", "MIT AND AGPL-3.0-only", "MPL-2.0", "Proprietary", ""] {
            assert!(check_licence(bad).is_some(), "{bad}");
        }
        let metadata = r#"{"packages": [{"name": "a", "license": "MIT"}, {"name": "b"},
                           {"name": "c", "license": "SSPL-1.0"}]}"#;
        assert_eq!(check_metadata(metadata).len(), 2);
        assert_eq!(check_metadata("{}").len(), 1, "no packages are no proof");
    }
}
