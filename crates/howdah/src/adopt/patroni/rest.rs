//! Patroni's REST API, as far as a take-over needs it. Source of paths and fields: Patroni's
//! documentation, "Patroni REST API".

use std::thread::sleep;
use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use howdah_api::client::{Ask, Client, Method, NoAnswer};
use howdah_base::status::ClusterStatus;
use howdah_import::patroni::{Address, RestApi};
use howdah_tls::Pair;
use serde_json::{Value, json};

use crate::ask::block_on;
use crate::failure::Failure;

/// Patroni answers while it waits for its store, for that long.
const WITHIN: Duration = Duration::from_secs(12);
/// Another node has changed the configuration at the same time.
const CONFLICT: u16 = 409;
const CHANGE_TRIES_MAX: u32 = 10;
const TRY_AGAIN: Duration = Duration::from_millis(300);
/// Our mark in Patroni's configuration, see [`Mark`].
const MARK: &str = "howdah_adopts";

/// How nodes' REST APIs are asked.
#[derive(Debug)]
pub struct Rest {
    client: Client,
}

/// Who answers at a node's REST port.
#[derive(Clone, Debug)]
pub enum Who {
    Patroni(Said),
    /// The node is Howdah's already.
    Howdah(Box<ClusterStatus>),
    /// Nobody listens there.
    Nobody,
    /// It cannot be told.
    Unknown(String),
}

/// `GET /patroni`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Said {
    pub scope: String,
    pub version: String,
    pub state: String,
    pub paused: bool,
    pub leads: bool,
    pub system_identifier: String,
}

/// Lies in Patroni's configuration from the first pause until the last node is given back: a
/// member whose process is stopped is soon missing from Patroni's own list.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
struct Mark {
    /// It was paused by others, and stays so.
    paused_before: bool,
    members: Vec<Member>,
}

/// A line of `GET /cluster`.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Member {
    pub name: String,
    pub role: String,
    pub state: String,
    /// Where its REST API is.
    pub api: String,
    pub timeline: Option<u64>,
    /// Bytes, where it is known.
    pub lag: Option<u64>,
}

impl Member {
    pub fn leads(&self) -> bool {
        matches!(self.role.as_str(), "leader" | "standby_leader" | "master" | "primary")
    }

    pub fn runs(&self) -> bool {
        matches!(self.state.as_str(), "running" | "streaming" | "in archive recovery")
    }
}

impl Rest {
    /// With the user and the TLS files of one node's own file; all nodes have the same ones.
    pub fn of(api: &RestApi) -> anyhow::Result<Rest> {
        let client = match &api.certfile {
            None => Client::plain(),
            Some(_) => {
                let ca = api.ctl_cacert.as_ref().or(api.cafile.as_ref()).ok_or_else(|| {
                    Failure::failed("Patroni speaks HTTPS, and its file names no CA to know it by")
                        .hint("name it as `ctl.cacert` in patroni.yml")
                })?;
                let own = api.ctl_certfile.as_ref().zip(api.ctl_keyfile.as_ref());
                let own = own.map(|(certificate, key)| Pair {
                    certificate: certificate.clone(),
                    key: key.clone(),
                });
                howdah_tls::install_provider();
                Client::by_tls(howdah_tls::to_http(ca, own.as_ref())?)
            }
        };
        let Some((user, password)) = api.user.as_ref().zip(api.password.as_ref()) else {
            return Ok(Rest { client });
        };
        let login = BASE64_STANDARD.encode(format!("{user}:{}", password.expose()));
        Ok(Rest { client: client.signed_in(&login) })
    }

    /// Who answers there.
    pub fn who(&self, address: &str) -> anyhow::Result<Who> {
        block_on(async {
            if let Ok(answer) = Client::plain().get(address, "/status", WITHIN).await
                && let Ok(status) = serde_json::from_str(&answer.body)
            {
                return Ok(Who::Howdah(Box::new(status)));
            }
            Ok(match self.client.get(address, "/patroni", WITHIN).await {
                Ok(answer) => match serde_json::from_str::<Value>(&answer.body) {
                    Ok(body) if body["patroni"].is_object() => Who::Patroni(said(&body)),
                    _ => Who::Unknown(format!("neither Patroni nor Howdah: `{address}`")),
                },
                Err(NoAnswer::Unreachable { source, .. })
                    if source.kind() == std::io::ErrorKind::ConnectionRefused =>
                {
                    Who::Nobody
                }
                Err(error) => Who::Unknown(error.to_string()),
            })
        })
    }

    /// Everybody, as the store behind the node at `address` knows them now or did at the pause.
    pub fn members(&self, address: &str) -> anyhow::Result<Vec<Member>> {
        let body = self.get(address, "/cluster")?;
        let members = body["members"].as_array().context("read Patroni's members")?;
        let mut members = members.iter().map(member).collect::<anyhow::Result<Vec<Member>>>()?;
        let marked = Rest::mark(&self.config(address)?).map(|mark| mark.members);
        for before in marked.unwrap_or_default() {
            if !members.iter().any(|member| member.name == before.name) {
                members.push(Member { role: String::new(), state: String::new(), ..before });
            }
        }
        Ok(members)
    }

    fn mark(config: &Value) -> Option<Mark> {
        serde_json::from_value(config[MARK].clone()).ok()
    }

    fn config(&self, address: &str) -> anyhow::Result<Value> {
        self.get(address, "/config")
    }

    /// Pauses the cluster and leaves our mark, unless that is done.
    pub fn pause(&self, address: &str, members: &[Member]) -> anyhow::Result<()> {
        self.change(address, |config| {
            let paused = config["pause"] == json!(true);
            let new = || Mark { paused_before: paused, members: members.to_vec() };
            match Rest::mark(config) {
                Some(_) if paused => None,
                mark => Some(json!({ "pause": true, MARK: mark.unwrap_or_else(new) })),
            }
        })?;
        Ok(())
    }

    /// Takes our mark away and with it the pause; whether it is over.
    pub fn resume(&self, address: &str) -> anyhow::Result<bool> {
        let change = self.change(address, |config| {
            let before = Rest::mark(config)?.paused_before;
            Some(json!({ "pause": before.then_some(true), MARK: null }))
        })?;
        Ok(change.is_some_and(|change| change["pause"].is_null()))
    }

    /// Changes Patroni's configuration, read anew for each try: two nodes may do so at once. What
    /// was changed, or `None` where nothing was to be.
    fn change(
        &self,
        address: &str,
        wanted: impl Fn(&Value) -> Option<Value>,
    ) -> anyhow::Result<Option<Value>> {
        let mut code = 0;
        for _ in 0..CHANGE_TRIES_MAX {
            let Some(change) = wanted(&self.config(address)?) else { return Ok(None) };
            let (method, body) = (Method::PATCH, change.to_string());
            let ask = Ask { method, path: "/config", token: None, body, within: WITHIN };
            code = block_on(async { Ok(self.client.ask(address, &ask).await?.code) })?;
            match code {
                200 => return Ok(Some(change)),
                CONFLICT => sleep(TRY_AGAIN),
                _ => break,
            }
        }
        Err(Failure::failed(format!("Patroni answers {code} to PATCH /config"))
            .hint("is `restapi.authentication` in this patroni.yml what it runs with?")
            .into())
    }

    fn get(&self, address: &str, path: &str) -> anyhow::Result<Value> {
        let answer = block_on(async { Ok(self.client.get(address, path, WITHIN).await?) })?;
        serde_json::from_str(&answer.body)
            .with_context(|| format!("read what Patroni says: `{address}{path}`"))
    }
}

fn said(body: &Value) -> Said {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Said {
        scope: text(&body["patroni"]["scope"]),
        version: text(&body["patroni"]["version"]),
        state: text(&body["state"]),
        paused: body["pause"] == json!(true),
        leads: matches!(body["role"].as_str(), Some("master" | "primary")),
        system_identifier: text(&body["database_system_identifier"]),
    }
}

fn member(line: &Value) -> anyhow::Result<Member> {
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let name = text("name");
    let url = text("api_url");
    let api = url.split_once("://").and_then(|(_, rest)| rest.split('/').next());
    let api = api.with_context(|| format!("find the REST API of `{name}`"))?.to_owned();
    Ok(Member {
        role: text("role"),
        state: text("state"),
        timeline: line["timeline"].as_u64(),
        lag: line["lag"].as_u64(),
        name,
        api,
    })
}

/// `host:port` of a node's own REST API.
pub fn own_address(api: &RestApi) -> Option<String> {
    let connect = api.connect_address.as_ref().map(Address::to_string);
    let listen = || {
        let listen = api.listen.as_ref()?;
        let host =
            listen.hosts.iter().find(|host| !["*", "0.0.0.0", "::"].contains(&host.as_str()));
        let host = host.map_or("127.0.0.1", String::as_str).to_owned();
        Some(Address { host, port: listen.port }.to_string())
    };
    connect.or_else(listen)
}
