//! The description of all paths: OpenAPI 3.1 for programs, a page for people. Both are made from
//! the table that requests are routed by.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::health::CHECKS;
use crate::routes::{Body, Kin, ROUTES, Right, Route};

/// The document at `/openapi.json`.
pub fn description() -> Value {
    let mut paths = Map::new();
    for (path, summary) in CHECKS {
        let operation = check(path, summary);
        let both = json!({ "get": operation("get"), "head": operation("head"),
                           "options": operation("options") });
        paths.insert(path.to_owned(), both);
    }
    for route in &ROUTES {
        let operations = paths.entry(route.path).or_insert_with(|| json!({}));
        operations[route.method.to_ascii_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Howdah",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Status, health checks and control of a PostgreSQL cluster.",
            "description": "Paths, methods and codes are Patroni's where it has them. A GET, HEAD \
                or OPTIONS of any other path is a health check as well: what the path contains \
                decides, in the order standby-leader; leader, primary, master, read-write; \
                replica; read-only; health. What matches nothing answers 503.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "user": { "type": "http", "scheme": "basic" },
                "certificate": { "type": "mutualTLS" },
            },
            "schemas": { "Receipt": receipt(), "Refusal": refusal() },
        },
    })
}

/// [`crate::Receipt`].
fn receipt() -> Value {
    let what = "Such as `restart`, `reload`, `reinit`, `switchover`.";
    json!({
        "type": "object",
        "required": ["what", "state", "message", "nodes"],
        "properties": {
            "what": { "type": "string", "description": what },
            "state": progress(),
            "message": { "type": "string", "description": "A sentence for people." },
            "nodes": nodes(),
        },
    })
}

fn progress() -> Value {
    json!({
        "type": "string",
        "enum": ["done", "planned", "begun", "dropped", "skipped", "refused"],
    })
}

/// What came of it on each node.
fn nodes() -> Value {
    json!({
        "type": "array",
        "items": {
            "type": "object",
            "required": ["node", "state", "message"],
            "properties": {
                "node": { "type": "string" },
                "state": progress(),
                "message": { "type": "string" },
            },
        },
    })
}

fn refusal() -> Value {
    json!({
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": { "type": "string", "description": "What happened." },
            "hint": { "type": "string", "description": "What to do next." },
            "nodes": nodes(),
        },
    })
}

/// A check, by each of its three methods.
fn check<'a>(path: &'a str, summary: &'a str) -> impl Fn(&str) -> Value + 'a {
    move |method| {
        let name = if path == "/" { "root" } else { &path[1..] };
        json!({
            "operationId": format!("{method}_{}", name.replace('-', "_")),
            "summary": summary,
            "tags": ["checks"],
            "parameters": [
                parameter("lag", "Most bytes behind the leader, or a size such as `16MB`."),
                parameter("replication_state", "Such as `streaming`."),
            ],
            "responses": {
                "200": { "description": "Yes." },
                "400": { "description": "The lag cannot be read." },
                "503": { "description": "No." },
            },
        })
    }
}

fn parameter(name: &str, what: &str) -> Value {
    json!({ "name": name, "in": "query", "description": what, "schema": { "type": "string" } })
}

fn operation(route: &Route) -> Value {
    let mut answers = Map::new();
    let mut put = |code: u16, what: &str| {
        let mut answer = json!({ "description": what });
        let schema = match (code, route.right) {
            (400.., Right::Inspect | Right::Change) => Some("Refusal"),
            (200..=299, Right::Change) if !matches!(route.body, Body::Settings) => Some("Receipt"),
            _ => None,
        };
        if let Some(schema) = schema {
            let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
            answer["content"] = json!({ "application/json": { "schema": schema } });
        }
        answers.insert(code.to_string(), answer);
    };
    for (code, what) in route.answers {
        put(*code, what);
    }
    if route.right != Right::Read {
        put(401, "A proof is missing or wrong.");
        put(403, "Not over this connection, or not by this certificate.");
    }
    let method = route.method.to_ascii_lowercase();
    let name: String =
        route.path[1..].chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    let name = name.trim_end_matches('_');
    let mut operation = json!({
        "operationId": format!("{method}_{name}"),
        "summary": route.summary,
        "tags": [kin(route.kin)],
        "responses": answers,
    });
    if route.right != Right::Read {
        operation["security"] = json!([{ "token": [] }, { "user": [] }, { "certificate": [] }]);
    }
    if route.path.contains("{node}") {
        let schema = json!({ "type": "string" });
        let node = json!({ "name": "node", "in": "path", "required": true, "schema": schema });
        operation["parameters"] = json!([node]);
    }
    if let Some(body) = body(&route.body) {
        operation["requestBody"] = body;
    }
    operation
}

fn kin(kin: Kin) -> &'static str {
    match kin {
        Kin::Patroni => "patroni",
        Kin::Howdah => "howdah",
    }
}

fn body(body: &Body) -> Option<Value> {
    match body {
        Body::None => None,
        Body::Toml => Some(json!({
            "required": true,
            "content": { "application/toml": { "schema": { "type": "string" } } },
        })),
        Body::Settings => Some(json!({
            "required": true,
            "content": { "application/json": { "schema": { "type": "object" } } },
        })),
        Body::Json { required, fields } => {
            let property = |(name, kind, what): &(&str, &str, &str)| {
                let mut schema = json!({ "type": kind, "description": what });
                if *kind == "array" {
                    schema["items"] = json!({ "type": "string" });
                }
                ((*name).to_owned(), schema)
            };
            let properties: Map<String, Value> = fields.iter().map(property).collect();
            let schema = json!({
                "type": "object",
                "properties": properties,
                "additionalProperties": false,
            });
            Some(json!({
                "required": required,
                "content": { "application/json": { "schema": schema } },
            }))
        }
    }
}

/// The page at `/api`.
pub fn page() -> String {
    let mut text = String::from("Health checks: GET, HEAD, OPTIONS; 200 is yes, 503 is no.\n\n");
    // Writing to a string does not fail.
    for (path, summary) in CHECKS {
        let _ = writeln!(text, "  {path:<24} {summary}");
    }
    for (right, title) in [
        (Right::Read, "Open to whoever reaches this port."),
        (Right::Inspect, "With the cluster's token, its user, or a certificate."),
        (Right::Change, "The same, and written to the audit log."),
    ] {
        let _ = writeln!(text, "\n{title}\n");
        for route in ROUTES.iter().filter(|route| route.right == right) {
            let _ = writeln!(text, "  {:<7} {:<16} {}", route.method, route.path, route.summary);
        }
    }
    text + "\nFor programs: /openapi.json\n"
}
