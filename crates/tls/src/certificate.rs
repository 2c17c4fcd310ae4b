//! What a certificate says of itself: whose it is, until when, and how much of its time is left.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

use crate::pair::parse_certificates;
use crate::{TlsError, files};

/// The part of a certificate that people and programs ask for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    pub common_name: String,
    /// In hexadecimal, as OpenSSL prints it; no two certificates of a CA have the same.
    pub serial: String,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
    /// It is good for a server, as a node's is.
    pub server: bool,
    /// Hosts and addresses that it proves, in words.
    pub names: Vec<String>,
}

/// How much of a certificate's time is left.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Life {
    Good,
    /// In its last third: it is renewed at the next occasion.
    Due,
    /// In its last quarter: renewal has not worked for a while, and somebody should look.
    Late,
    Expired,
    /// Somebody's clock is wrong by more than a day.
    NotYet,
}

impl Certificate {
    /// The first certificate of a PEM file; `None` when there is no file.
    pub fn read(path: &Path) -> Result<Option<Certificate>, TlsError> {
        let Some(text) = files::read(path)? else { return Ok(None) };
        let chain = parse_certificates(&text, path)?;
        let first = chain.first().map(Certificate::of).transpose();
        first.map_err(TlsError::unusable("the certificate", path))
    }

    /// Reads one that came in a handshake, which has verified it.
    ///
    /// # Errors
    /// Why it cannot be read, in words.
    pub fn of(der: &CertificateDer<'_>) -> Result<Certificate, String> {
        let (_, parsed) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        let mut common_names = parsed.subject().iter_common_name();
        let common_name = common_names.next().and_then(|name| name.as_str().ok());
        let usage = parsed.extended_key_usage().map_err(|error| error.to_string())?;
        let names = parsed.subject_alternative_name().map_err(|error| error.to_string())?;
        let names = names.map(|names| names.value.general_names.iter().filter_map(word).collect());
        Ok(Certificate {
            common_name: common_name.unwrap_or_default().to_owned(),
            serial: parsed.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect(),
            not_before: moment(parsed.validity().not_before),
            not_after: moment(parsed.validity().not_after),
            server: usage.is_some_and(|usage| usage.value.server_auth),
            names: names.unwrap_or_default(),
        })
    }

    pub fn life(&self, now: SystemTime) -> Life {
        let whole = self.not_after.duration_since(self.not_before).unwrap_or_default();
        let Ok(left) = self.not_after.duration_since(now) else { return Life::Expired };
        if now < self.not_before {
            Life::NotYet
        } else if left < whole / 4 {
            Life::Late
        } else if left < whole / 3 {
            Life::Due
        } else {
            Life::Good
        }
    }

    /// A sentence for an operator when something is wrong with its time; `what` says whose it
    /// is, such as `the certificate of n1`.
    pub fn problem(&self, what: &str, now: SystemTime) -> Option<String> {
        let days = |span: Duration| span.as_secs() / (24 * 60 * 60);
        match self.life(now) {
            Life::Good | Life::Due => None,
            Life::Late => {
                let left = days(self.not_after.duration_since(now).unwrap_or_default());
                Some(format!("{what} expires in {left} days and was not renewed"))
            }
            Life::Expired => {
                let past = days(now.duration_since(self.not_after).unwrap_or_default());
                Some(format!("{what} expired {past} days ago; other nodes and clients refuse it"))
            }
            Life::NotYet => {
                Some(format!("{what} is not valid yet: the clocks of the machines differ"))
            }
        }
    }
}

fn word(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match *bytes {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(*a, *b, *c, *d).to_string()),
            bytes => {
                let octets: [u8; 16] = bytes.try_into().ok()?;
                Some(std::net::Ipv6Addr::from(octets).to_string())
            }
        },
        _ => None,
    }
}

fn moment(time: ASN1Time) -> SystemTime {
    let since = u64::try_from(time.timestamp()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_due_in_its_last_third_and_late_in_its_last_quarter() {
        let day = |day: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(day * 24 * 60 * 60);
        let certificate = Certificate {
            common_name: "n1".to_owned(),
            serial: "01".to_owned(),
            not_before: day(100),
            not_after: day(220),
            server: true,
            names: Vec::new(),
        };
        for (now, life) in [
            (99, Life::NotYet),
            (100, Life::Good),
            (180, Life::Good),
            (181, Life::Due),
            (190, Life::Due),
            (191, Life::Late),
            (220, Life::Late),
            (221, Life::Expired),
        ] {
            assert_eq!(certificate.life(day(now)), life, "day {now}");
        }
        let says = |now| certificate.problem("the certificate of n1", day(now));
        assert_eq!(says(181), None);
        let late = "the certificate of n1 expires in 20 days and was not renewed";
        assert_eq!(says(200).as_deref(), Some(late));
        assert!(says(230).is_some_and(|text| text.contains("expired 10 days ago")));
    }
}
