//! URLs and headers that pass the checks can be sent.

use std::collections::BTreeMap;

use awc::http::header::{HeaderName, HeaderValue};
use proptest::prelude::*;
use url::Url;

use crate::{
    domain::{check_hook_headers, check_hook_url},
    hook::client::target,
};

proptest! {
    #[test]
    fn a_url_that_passes_can_be_sent(host in "[a-zA-Z0-9ä_~!$&'*+,;=.-]{1,20}", rest in "[/?#][^\\x00-\\x1f]{0,60}") {
        let url = format!("https://{host}{rest}");
        if check_hook_url(&url).is_ok() {
            let parsed = Url::parse(&url).unwrap();
            let sent = target(&parsed).unwrap();
            prop_assert_eq!(sent.path(), parsed.path());
            prop_assert_eq!(sent.query(), parsed.query());
        }
    }

    #[test]
    fn a_header_that_passes_can_be_sent(name in "[\\x00-\\xff]{1,8}|[a-z!#$%&'*+.^_`|~-]{1,8}", value in "[\\x00-\\xff]{0,8}|[ -~\t]{0,8}") {
        let headers = BTreeMap::from([(name.clone(), value.clone())]);
        if check_hook_headers(&headers).is_ok() {
            prop_assert!(HeaderName::try_from(name).is_ok());
            prop_assert!(HeaderValue::try_from(value).is_ok());
        }
    }
}
