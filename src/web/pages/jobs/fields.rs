//! The fields of the form of a job, as texts, and the definition that they make.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{
    domain::NewJob,
    web::{
        problem::{Fault, Problem},
        query::Query,
    },
};

/// Fields with the texts of the definition.
const TEXTS: [&str; 10] = [
    "job_name",
    "job_type",
    "cron_expr",
    "time_zone",
    "service_name",
    "service_method",
    "hook_url",
    "hook_method",
    "overlap_policy",
    "misfire_policy",
];
/// Fields that hold whole numbers.
const NUMBERS: [&str; 4] = ["timeout", "misfire_grace", "max_retry", "retry_delay_ms"];
/// Fields with special rules.
const OTHERS: [&str; 5] = ["enabled", "hook_headers", "hook_secret", REMOVE_SECRET, "args"];

/// The box that takes the secret away: a blank field leaves the secret as it is.
pub(super) const REMOVE_SECRET: &str = "hook_secret_remove";

/// What stands in the fields of a form.
pub(super) struct Fields(BTreeMap<&'static str, String>);

/// The definition that a form holds, as JSON.
pub(in crate::web::pages) fn definition(query: &mut Query) -> Result<Value, Problem> {
    Fields::typed(query).definition()
}

fn names() -> impl Iterator<Item = &'static str> {
    TEXTS.into_iter().chain(NUMBERS).chain(OTHERS)
}

impl Fields {
    /// The fields that were sent.
    pub(super) fn typed(query: &mut Query) -> Self {
        Self(names().filter_map(|name| Some((name, query.text(name)?))).collect())
    }

    pub(super) fn is_known(name: &str) -> bool {
        names().any(|known| known == name)
    }

    /// The fields of a definition. A secret cannot be read back.
    pub(super) fn of(job: NewJob) -> Self {
        let headers = job.hook_headers.iter();
        let headers: Vec<String> = headers.map(|(name, value)| format!("{name}: {value}")).collect();
        let fields = [
            ("job_name", job.job_name),
            ("job_type", job.job_type),
            ("enabled", job.enabled.to_string()),
            ("cron_expr", job.cron_expr),
            ("time_zone", job.time_zone.unwrap_or_default()),
            ("service_name", job.service_name.unwrap_or_default()),
            ("service_method", job.service_method.unwrap_or_default()),
            ("hook_url", job.hook_url.unwrap_or_default()),
            ("hook_method", job.hook_method),
            ("hook_headers", headers.join("\n")),
            ("args", job.args.unwrap_or_default()),
            ("timeout", job.timeout.to_string()),
            ("overlap_policy", job.overlap_policy.unwrap_or_default()),
            ("misfire_policy", job.misfire_policy),
            ("misfire_grace", job.misfire_grace.to_string()),
            ("max_retry", job.max_retry.to_string()),
            ("retry_delay_ms", job.retry_delay_ms.to_string()),
        ];
        Self(fields.into())
    }

    /// These fields, and the fields of `base` that are missing here.
    pub(super) fn or(self, base: Self) -> Self {
        let mut fields = base.0;
        fields.extend(self.0);
        Self(fields)
    }

    pub(super) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A field that is not blank.
    pub(super) fn filled(&self, name: &str) -> Option<&str> {
        Some(self.get(name)).filter(|text| !text.trim().is_empty())
    }

    /// A blank field is left out, and so has its default.
    fn definition(&self) -> Result<Value, Problem> {
        let mut job = Map::new();
        let mut faults = Vec::new();
        for name in TEXTS {
            if let Some(text) = self.filled(name) {
                job.insert(name.to_owned(), json!(text));
            }
        }
        for name in NUMBERS {
            let Some(text) = self.filled(name) else { continue };
            match text.trim().parse::<i64>() {
                Ok(number) => drop(job.insert(name.to_owned(), json!(number))),
                Err(_) => faults.push(fault(name, format!("{name} is {text:?}, expected a whole number"))),
            }
        }
        if let Some(enabled) = self.filled("enabled") {
            job.insert("enabled".to_owned(), json!(enabled == "true"));
        }
        // As a text it reaches the database without being read as a value: numbers of any length keep their digits. Browsers send other
        // ends of lines than were shown to them.
        if let Some(args) = self.filled("args") {
            job.insert("args_text".to_owned(), json!(args.replace("\r\n", "\n")));
        }
        match (self.filled("hook_secret"), self.filled(REMOVE_SECRET)) {
            (Some(secret), _) => drop(job.insert("hook_secret".to_owned(), json!(secret))),
            (None, Some(_)) => drop(job.insert("hook_secret".to_owned(), Value::Null)),
            (None, None) => {}
        }
        job.insert("hook_headers".to_owned(), self.headers(&mut faults).into());
        match faults.is_empty() {
            true => Ok(job.into()),
            false => Err(Problem::invalid(faults)),
        }
    }

    /// The headers, one on each line. A fault does not repeat a value, which may be a secret.
    fn headers(&self, faults: &mut Vec<Fault>) -> Map<String, Value> {
        let mut headers = Map::new();
        let lines = self.get("hook_headers").lines().enumerate();
        for (at, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            let Some((name, value)) = line.split_once(':') else {
                let detail = format!("line {} of the headers has no colon, expected name: value", at + 1);
                faults.push(fault("hook_headers", detail));
                continue;
            };
            let name = name.trim();
            if headers.insert(name.to_owned(), json!(value.trim())).is_some() {
                faults.push(fault(
                    "hook_headers",
                    format!("header {name:?} is there twice, expected once"),
                ));
            }
        }
        headers
    }
}

fn fault(name: &str, detail: String) -> Fault {
    Fault {
        pointer: Some(format!("/{name}")),
        ..Fault::of(detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::redact::HIDDEN;

    fn of(text: &str) -> Result<Value, Problem> {
        definition(&mut Query::parse(text).expect("is a form"))
    }

    #[test]
    fn blank_fields_are_left_out() {
        let job = of("job_name=a&cron_expr=%40daily&time_zone=&timeout=+&enabled=false&hook_secret=").expect("is good");
        let expected = json!({"job_name": "a", "cron_expr": "@daily", "enabled": false, "hook_headers": {}});
        assert_eq!(job, expected);
    }

    #[test]
    fn arguments_keep_their_text() {
        let job = of("args=%7B%22n%22%3A12345678901234567890123%2C%0D%0A%22x%22%3A1.0e2%7D").expect("is good");
        assert_eq!(job["args_text"], "{\"n\":12345678901234567890123,\n\"x\":1.0e2}");
        let read: NewJob = serde_json::from_value(job).expect("is a job");
        assert_eq!(
            read,
            NewJob::default().raw_args("{\"n\":12345678901234567890123,\n\"x\":1.0e2}")
        );
    }

    #[test]
    fn every_fault_names_its_field_and_no_value_of_a_header() {
        let problem = of("timeout=x&max_retry=1.5&hook_headers=a%3A+b%0D%0AA-secret%0D%0Aa%3A+c").expect_err("is bad");
        let pointers: Vec<Option<&str>> = problem.faults().iter().map(|fault| fault.pointer.as_deref()).collect();
        let expected = ["/timeout", "/max_retry", "/hook_headers", "/hook_headers"].map(Some);
        assert_eq!(pointers, expected);
        assert!(!problem.detail().contains("A-secret"), "{problem:?}");
    }

    #[test]
    fn the_fields_of_a_job_make_the_same_job() {
        let job = NewJob::cron_hook("sync", "@hourly", "http://localhost/")
            .raw_args("[1]")
            .header("x-team", HIDDEN)
            .enabled(false)
            .time_zone("Asia/Shanghai");
        let read: NewJob =
            serde_json::from_value(Fields::of(job.clone()).definition().expect("is good")).expect("is read");
        assert_eq!(read, job);
    }

    #[test]
    fn a_secret_is_kept_set_or_removed() {
        for (text, secret) in [
            ("hook_secret=", None),
            ("hook_secret=whsec_x", Some(json!("whsec_x"))),
            ("hook_secret=&hook_secret_remove=true", Some(Value::Null)),
        ] {
            assert_eq!(of(text).expect("is good").get("hook_secret"), secret.as_ref(), "{text}");
        }
    }
}
