//! Single fields of a JSON body, each read to its type or refused by its name.

use axum::http::StatusCode;
use howdah_base::ask::Refusal;
use howdah_base::{NodeName, Span};
use serde_json::{Map, Value};

use crate::request::{Refused, bad};
use crate::routes::Body;
use crate::when::{self, BadMoment};

type Object = Map<String, Value>;

/// The object that a body is, with no other fields than its description has.
pub fn object(body: &Body, text: &str) -> Result<Object, Refused> {
    let (required, fields) = match body {
        Body::Json { required, fields } => (*required, Some(*fields)),
        Body::Settings => (true, None),
        // Whatever comes along is of no concern: Patroni's clients send `{}` everywhere.
        Body::None | Body::Toml => return Ok(Object::new()),
    };
    if text.is_empty() && !required {
        return Ok(Object::new());
    }
    // By way of an object: serde would take `[]` for a body that leaves everything out.
    let object: Object = serde_json::from_str(text).map_err(|error| {
        let refusal = Refusal::new(format!("cannot read the body: {error}"));
        bad(refusal.hint("send an object of JSON; `/openapi.json` describes it"))
    })?;
    if required && object.is_empty() {
        return Err(bad(Refusal::new("the body says nothing")));
    }
    let known = |name: &String| fields.is_none_or(|fields| fields.iter().any(|f| f.0 == name));
    match object.keys().find(|name| !known(name)) {
        None => Ok(object),
        Some(unknown) => {
            let names: Vec<&str> = fields.unwrap_or_default().iter().map(|field| field.0).collect();
            let refusal = Refusal::new(format!("nobody knows this field: `{unknown}`"));
            Err(bad(refusal.hint(format!("the fields are {}", names.join(", ")))))
        }
    }
}

pub fn text<'b>(body: &'b Object, field: &str) -> Result<Option<&'b str>, Refused> {
    match body.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(field, "a text")),
    }
}

pub fn name(body: &Object, field: &str) -> Result<Option<NodeName>, Refused> {
    match text(body, field)? {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| wrong(field, "the name of a node")),
    }
}

pub fn names(body: &Object, field: &str) -> Result<Option<Vec<NodeName>>, Refused> {
    match body.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(list)) => {
            let read = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
            let names: Option<Vec<NodeName>> = list.iter().map(read).collect();
            names.map(Some).ok_or_else(|| wrong(field, "a list of names of nodes"))
        }
        Some(_) => Err(wrong(field, "a list of names of nodes")),
    }
}

pub fn flag(body: &Object, field: &str) -> Result<Option<bool>, Refused> {
    match body.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        // Patroni's own clients send words.
        Some(Value::String(word)) => match word.to_ascii_lowercase().as_str() {
            "on" | "true" | "yes" | "1" => Ok(Some(true)),
            "off" | "false" | "no" | "0" | "" => Ok(Some(false)),
            _ => Err(wrong(field, "true or false")),
        },
        Some(_) => Err(wrong(field, "true or false")),
    }
}

/// A positive number of seconds; a text such as `30s` too.
pub fn seconds(body: &Object, field: &str) -> Result<Option<u64>, Refused> {
    let read = match body.get(field) {
        None => return Ok(None),
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => {
            let span = || text.parse::<Span>().ok().map(|span| span.0.as_secs());
            text.trim().parse().ok().or_else(span)
        }
        Some(_) => None,
    };
    let positive = read.filter(|seconds| *seconds > 0);
    positive.map(Some).ok_or_else(|| wrong(field, "a positive number of seconds"))
}

/// A moment to come, in milliseconds since 1970.
pub fn moment(body: &Object, field: &str, now: u64) -> Result<Option<u64>, Refused> {
    let unreadable = |error: BadMoment| {
        let code = match error {
            BadMoment::NoTimeZone => StatusCode::BAD_REQUEST,
            BadMoment::Unreadable => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Refused::new(code, Refusal::new(format!("`{field}`: {error}")))
    };
    let text = match body.get(field) {
        None => return Ok(None),
        Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) if text.is_empty() => return Ok(None),
        Some(Value::String(text)) => text,
        Some(_) => return Err(unreadable(BadMoment::Unreadable)),
    };
    let at = when::parse(text, now).map_err(unreadable)?;
    if at < now {
        let refusal = Refusal::new(format!("`{field}` lies in the past: `{text}`"));
        return Err(Refused::new(StatusCode::UNPROCESSABLE_ENTITY, refusal));
    }
    Ok(Some(at))
}

fn wrong(field: &str, want: &str) -> Refused {
    bad(Refusal::new(format!("`{field}` must be {want}")))
}
