//! One text for three readers: a browser, a terminal, a program.

use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Seconds after which a browser asks again.
const REFRESH_SECONDS: u32 = 2;

/// In what form the asker wants an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Html,
    Text,
    Json,
}

/// Browsers say `text/html`; curl says `*/*` and shows what it gets.
fn wanted(headers: &HeaderMap) -> Form {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    if accept.contains("text/html") {
        Form::Html
    } else if accept.contains("application/json") {
        Form::Json
    } else {
        Form::Text
    }
}

/// Whether a person looks at it in a browser.
pub fn is_browser(headers: &HeaderMap) -> bool {
    wanted(headers) == Form::Html
}

pub fn is_json(headers: &HeaderMap) -> bool {
    wanted(headers) == Form::Json
}

/// Whether text was asked for by its name.
pub fn is_text(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    accept.starts_with("text/plain")
}

/// One sentence: as JSON for those who ask for it, as text for all others.
pub fn plain_or_json(
    headers: &HeaderMap,
    status: StatusCode,
    text: &str,
    value: &impl Serialize,
) -> Response {
    if wanted(headers) == Form::Json {
        return json(status, value);
    }
    let kind = [(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-store")];
    (status, kind, format!("{text}\n")).into_response()
}

/// `text` as a page or as it is, or `value` as JSON: whichever is asked for.
pub fn answer(headers: &HeaderMap, title: &str, text: String, value: &impl Serialize) -> Response {
    match wanted(headers) {
        Form::Html => html(title, &text),
        Form::Json => json(StatusCode::OK, value),
        Form::Text => {
            let kind = [(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-store")];
            (kind, text).into_response()
        }
    }
}

/// `value` as one line of JSON.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    match serde_json::to_string(value) {
        Ok(text) => (status, headers, text + "\n").into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn html(title: &str, text: &str) -> Response {
    let page = format!(
        "<!doctype html>\n\
         <html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta http-equiv=\"refresh\" content=\"{REFRESH_SECONDS}\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n\
         <style>:root{{color-scheme:light dark}}body{{margin:2rem}}pre{{overflow-x:auto}}</style>\n\
         </head><body>\n\
         <nav><a href=\"/status\">status</a> <a href=\"/explain\">explain</a> \
         <a href=\"/history\">history</a> <a href=\"/api\">paths</a></nav>\n\
         <pre>{text}</pre>\n\
         </body></html>\n",
        title = escape(title),
        text = escape(text),
    );
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        // The page runs nothing and loads nothing, whatever a name or a reason contains.
        (CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"),
    ];
    (headers, page).into_response()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(accept: &str) -> Form {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().expect("header"));
        wanted(&headers)
    }

    #[test]
    fn each_reader_gets_its_form() {
        assert_eq!(accepting("text/html,application/xhtml+xml,*/*;q=0.8"), Form::Html);
        assert_eq!(accepting("*/*"), Form::Text);
        assert_eq!(accepting("text/plain"), Form::Text);
        assert_eq!(accepting("application/json"), Form::Json);
        assert_eq!(wanted(&HeaderMap::new()), Form::Text);
    }

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escape("<b> & \"x\""), "&lt;b&gt; &amp; &quot;x&quot;");
    }
}
