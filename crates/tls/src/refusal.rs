//! Why a handshake failed, in words that say what to do: a certificate's end is no riddle.

use std::error::Error;

use rustls::{AlertDescription, CertificateError};

/// A failed handshake, told apart by what an operator must do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// The other side's certificate is past its time.
    TheirsExpired,
    TheirsNotYet,
    /// It was signed by another CA.
    TheirsForeign,
    /// It is good, for another host.
    TheirsOfAnotherHost,
    /// The other side says this of ours.
    OursExpired,
    OursForeign,
}

impl Refused {
    /// A sentence about the other side, `who`, such as `10.0.0.1:8008`.
    pub fn sentence(self, who: &str) -> String {
        match self {
            Refused::TheirsExpired => format!("the certificate of the node has expired: `{who}`"),
            Refused::TheirsNotYet => format!(
                "the certificate of the node is not valid yet, so the clocks differ: `{who}`"
            ),
            Refused::TheirsForeign => {
                format!("a node of another cluster answers, its CA is not this one: `{who}`")
            }
            Refused::TheirsOfAnotherHost => {
                format!("the node that answers does not prove to be this host: `{who}`")
            }
            Refused::OursExpired => {
                format!("the node refuses our certificate, which has expired: `{who}`")
            }
            Refused::OursForeign => {
                format!("the node refuses our certificate, which is of another cluster: `{who}`")
            }
        }
    }

    /// What to do next.
    pub fn hint(self) -> &'static str {
        match self {
            Refused::TheirsExpired => "on that machine: howdah certs renew",
            Refused::OursExpired => "howdah certs renew, on a machine that has the CA's key",
            Refused::TheirsNotYet => "set the clocks of both machines by NTP",
            Refused::TheirsForeign | Refused::OursForeign => {
                "compare `howdah certs` on both machines; if that host was to join this cluster: \
                 howdah token create NODE"
            }
            Refused::TheirsOfAnotherHost => {
                "compare `host` in the cluster file with `howdah certs` on that machine"
            }
        }
    }
}

/// Looks for a refused certificate among the causes of `error`; `None` for any other failure.
pub fn refused(error: &(dyn Error + 'static)) -> Option<Refused> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<rustls::Error>().and_then(of) {
            return Some(refused);
        }
        // An I/O error shows its cause by another door than `source`.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

fn of(error: &rustls::Error) -> Option<Refused> {
    match error {
        rustls::Error::InvalidCertificate(why) => match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                Some(Refused::TheirsExpired)
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Some(Refused::TheirsNotYet)
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Some(Refused::TheirsOfAnotherHost)
            }
            // Two clusters of one name have a CA of one name, and then it is the signature.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                Some(Refused::TheirsForeign)
            }
            _ => None,
        },
        rustls::Error::AlertReceived(AlertDescription::CertificateExpired) => {
            Some(Refused::OursExpired)
        }
        rustls::Error::AlertReceived(
            AlertDescription::UnknownCA | AlertDescription::DecryptError,
        ) => Some(Refused::OursForeign),
        _ => None,
    }
}
