//! Records of an audit on their way to whoever keeps a copy of it.

use krins_protocol::http::{AuditAbout, AuditAppend, AuditRecord};

/// The next records, in their order. The same again changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// Names the log within the tenant.
    pub log: String,
    pub records: Vec<HandedOver>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandedOver {
    /// The line as it stands in the log, without its end.
    pub record: String,
    /// What it is about; `None` where that stays on the machine.
    pub about: Option<About>,
}

/// A payload byte by byte as it was committed to, and its salt in hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    pub salt: String,
    pub body: String,
}

impl Handover {
    /// The words on the wire.
    pub(crate) fn to_wire(&self) -> AuditAppend {
        let about = |about: &About| AuditAbout { salt: about.salt.clone(), body: about.body.clone() };
        let record = |handed: &HandedOver| AuditRecord {
            record: handed.record.clone(),
            about: handed.about.as_ref().map(about),
        };
        AuditAppend { log: self.log.clone(), records: self.records.iter().map(record).collect() }
    }
}
