//! The description of HTTP is valid OpenAPI, as its own validator says.

use std::fs;
use std::process::Command;

use crate::{http, nodes, tools};

#[test]
fn the_description_is_valid_openapi() {
    let cluster = nodes(1).start();
    let port = cluster.primary().ports.http;
    let answer = http::ask(port, "GET", "/openapi.json", None, None);
    assert_eq!(answer.code, 200);
    let path = cluster.scratch().join("openapi.json");
    fs::write(&path, answer.body).expect("write the description");
    let output = Command::new(tools::program("openapi-spec-validator"))
        .args(["--schema", "3.1"])
        .arg(&path)
        .output()
        .expect("run the validator");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("OK"), "{said}");
}
