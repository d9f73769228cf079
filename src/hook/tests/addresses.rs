//! Which addresses the client calls, and which it refuses.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use super::*;
use crate::hook::address::{Kind, Policy};

#[test]
fn every_form_of_an_address_is_known() {
    for (kind, addresses) in [
        (
            Kind::Public,
            "1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.0 172.15.0.1 172.32.0.1 169.253.0.1 198.17.0.1 198.20.0.1 \
             192.0.1.1 223.255.255.255 126.255.255.255 2606:4700::1111 2001:200::1 2a00::1 ::ffff:8.8.8.8 ::8.8.8.8 \
             64:ff9b::8.8.8.8 2002:808:808::1",
        ),
        (
            Kind::Loopback,
            "127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1 ::127.0.0.1 64:ff9b::127.0.0.1 2002:7f00:1::",
        ),
        (
            Kind::Private,
            "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 100.127.255.255 198.18.0.1 198.19.255.255 \
             fc00::1 fdff::1 fec0::1 ::ffff:10.0.0.1 ::ffff:0:192.168.0.1 64:ff9b::10.0.0.1 2002:c0a8:101::1",
        ),
        (
            Kind::LinkLocal,
            "169.254.0.1 169.254.169.254 169.254.170.2 fe80::1 febf::1 ::ffff:169.254.169.254 ::169.254.169.254 \
             ::ffff:0:169.254.169.254 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe::",
        ),
        (
            Kind::Metadata,
            "100.100.100.200 168.63.129.16 192.0.0.192 fd00:ec2::254 fd20:ce::254 fd00:42::42 fd00:c1::a9fe:a9fe \
             ::ffff:100.100.100.200 64:ff9b::168.63.129.16 2002:6464:64c8::1",
        ),
        (Kind::Unspecified, "0.0.0.0 0.1.2.3 :: ::ffff:0.0.0.0 64:ff9b::"),
        (
            Kind::Multicast,
            "224.0.0.1 239.255.255.255 ff02::1 ff0e::1 ::ffff:224.0.0.1",
        ),
        (Kind::Broadcast, "255.255.255.255 ::ffff:255.255.255.255"),
        (
            Kind::Reserved,
            "192.0.0.1 192.0.2.1 198.51.100.1 203.0.113.1 192.88.99.1 240.0.0.1 255.255.255.254 2001::1 2001:10::1 \
             2001:0:5ef5:79fb::1 2001:db8::1 3fff::1 100::1 4000::1 5f00::1 64:ff9b:1::a9fe:a9fe 64:ff9b:1:a9fe:a9:fe00:: ::ffff:192.0.2.1",
        ),
    ] {
        for address in addresses.split_whitespace() {
            assert_eq!(Kind::of(address.parse().unwrap()), [kind; 2], "{address}");
        }
    }
}

#[test]
fn a_tunnel_is_judged_by_both_of_its_ends() {
    for (address, kinds) in [
        ("2600::5efe:8.8.8.8", [Kind::Public; 2]),
        ("2600::5efe:127.0.0.1", [Kind::Public, Kind::Loopback]),
        ("2600::200:5efe:169.254.169.254", [Kind::Public, Kind::LinkLocal]),
        ("2600:1:2:3:100:5efe:10.0.0.1", [Kind::Public, Kind::Private]),
        ("2600::300:5efe:100.100.100.200", [Kind::Public, Kind::Metadata]),
        ("2600::5efe:0.0.0.0", [Kind::Public, Kind::Unspecified]),
        ("fe80::5efe:8.8.8.8", [Kind::LinkLocal, Kind::Public]),
        ("fd00::200:5efe:127.0.0.1", [Kind::Private, Kind::Loopback]),
        ("::5efe:127.0.0.1", [Kind::Reserved, Kind::Loopback]),
        // An ISATAP identifier behind a 6to4 prefix.
        ("2002:808:808::5efe:127.0.0.1", [Kind::Public, Kind::Loopback]),
        ("2002:7f00:1::5efe:8.8.8.8", [Kind::Loopback, Kind::Public]),
        // Looks like an ISATAP identifier and is none.
        ("2600::400:5efe:127.0.0.1", [Kind::Public; 2]),
        ("2600::5eff:127.0.0.1", [Kind::Public; 2]),
    ] {
        assert_eq!(Kind::of(address.parse().unwrap()), kinds, "{address}");
    }
    let policy = Policy {
        loopback: false,
        private: true,
        link_local: false,
    };
    let refused = policy.check("fd00::5efe:127.0.0.1".parse().unwrap()).unwrap_err();
    assert!(refused.to_string().contains("a loopback address"), "{refused}");
    assert!(policy.check("fd00::5efe:10.0.0.1".parse().unwrap()).is_ok());
}

#[test]
fn the_policy_allows_what_its_switches_say_and_names_them() {
    let all = |on| Policy {
        loopback: on,
        private: on,
        link_local: on,
    };
    for (address, switch) in [
        ("127.0.0.1", Some("allow_loopback")),
        ("10.0.0.1", Some("allow_private")),
        ("169.254.169.254", Some("allow_link_local")),
        ("fd00:ec2::254", Some("allow_link_local")),
        ("0.0.0.0", None),
        ("224.0.0.1", None),
        ("255.255.255.255", None),
        ("240.0.0.1", None),
    ] {
        let ip: IpAddr = address.parse().unwrap();
        let refused = all(false).check(ip).unwrap_err().to_string();
        assert!(refused.starts_with(address), "{refused}");
        match switch {
            Some(switch) => assert!(refused.contains(switch) && all(true).check(ip).is_ok(), "{refused}"),
            None => assert!(
                refused.contains("never allowed") && all(true).check(ip).is_err(),
                "{refused}"
            ),
        }
    }
    assert!(all(false).check("1.1.1.1".parse().unwrap()).is_ok());
}

/// A client whose look-up finds these addresses for every name.
fn finding(options: &HookOptions, addresses: Vec<SocketAddr>) -> HookClient {
    HookClient::with_lookup(options, Arc::new(move |_: &str, _| Ok(addresses.clone()))).unwrap()
}

#[actix_rt::test]
async fn literals_in_odd_forms_are_judged_as_the_addresses_they_are() {
    let closed = HookOptions::default().allow_loopback(false).allow_private(false);
    for (host, address) in [
        ("127.0.0.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("１２７.0.0.1", "127.0.0.1"),
        ("%31%32%37.0.0.1", "127.0.0.1"),
        ("0xa9.0xfe.0xa9fe", "169.254.169.254"),
        ("[::ffff:169.254.169.254]", "::ffff:169.254.169.254"),
        ("[::ffff:a9fe:a9fe]", "::ffff:169.254.169.254"),
        ("[64:ff9b::a9fe:a9fe]", "64:ff9b::a9fe:a9fe"),
        ("[2600::5efe:169.254.169.254]", "2600::5efe:a9fe:a9fe"),
        ("[::1]", "::1"),
        ("[::]", "::"),
        ("0", "0.0.0.0"),
        ("10.1", "10.0.0.1"),
    ] {
        for scheme in ["http", "https"] {
            let error = client(&closed)
                .call(to(format!("{scheme}://{host}:1/")))
                .await
                .unwrap_err();
            assert!(matches!(error, HookError::Refused { .. }), "{host}: {error}");
            let said = format!("may not be called: {address} is ");
            assert!(error.to_string().contains(&said), "{host}: {error}");
        }
    }
}

#[actix_rt::test]
async fn a_name_of_a_refused_address_is_not_called() {
    let options = HookOptions::default().allow_loopback(false);
    let (listener, port) = listener().await;
    let error = client(&options).call(to(format!("http://localhost:{port}/"))).await;
    let error = error.unwrap_err().to_string();
    assert!(error.starts_with("the host \"localhost\" may not be called"), "{error}");
    assert!(
        error.contains("a loopback address, which `HookOptions::allow_loopback(true)` would allow"),
        "{error}"
    );
    let nobody = futures_util::FutureExt::now_or_never(listener.accept());
    assert!(nobody.is_none(), "somebody connected");
}

#[actix_rt::test]
async fn of_mixed_addresses_only_the_allowed_are_called() {
    let (listener, port) = listener().await;
    let served = spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await;
        stream.write_all(OK.as_bytes()).await.unwrap();
    });
    let metadata: SocketAddr = ([169, 254, 169, 254], port).into();
    let mapped: SocketAddr = format!("[::ffff:169.254.169.254]:{port}").parse().unwrap();
    let local: SocketAddr = (Ipv4Addr::LOCALHOST, port).into();
    let mixed = vec![metadata, mapped, local];
    let answer = finding(&HookOptions::default(), mixed.clone())
        .call(to("http://mixed.example/"))
        .await;
    assert_eq!(answer.unwrap().body, "hi");
    served.await.unwrap();

    let closed = HookOptions::default().allow_loopback(false);
    let error = finding(&closed, mixed)
        .call(to("http://mixed.example/"))
        .await
        .unwrap_err();
    let HookError::Refused { host, addresses } = &error else {
        panic!("{error}");
    };
    assert_eq!((host.as_str(), addresses.len()), ("mixed.example", 3));
    assert!(error.to_string().contains("allow_link_local") && error.to_string().contains("allow_loopback"));
}

#[actix_rt::test]
async fn the_next_address_is_tried_when_one_refuses() {
    let (gone, closed_port) = listener().await;
    drop(gone);
    let (listener, port) = listener().await;
    let served = spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await;
        stream.write_all(OK.as_bytes()).await.unwrap();
    });
    let addresses = vec![
        (Ipv4Addr::LOCALHOST, closed_port).into(),
        (Ipv4Addr::LOCALHOST, port).into(),
    ];
    let answer = finding(&HookOptions::default(), addresses)
        .call(to("http://two.example/"))
        .await;
    assert_eq!(answer.unwrap().body, "hi");
    served.await.unwrap();
}

#[actix_rt::test]
async fn a_refused_connection_is_an_error_of_its_own() {
    let (listener, port) = listener().await;
    drop(listener);
    let error = call(format!("http://127.0.0.1:{port}/")).await.unwrap_err();
    assert!(matches!(error, HookError::Connect { .. }), "{error}");
    let said = format!("cannot connect to the host \"127.0.0.1\": 127.0.0.1:{port}: Connection refused");
    assert!(error.to_string().starts_with(&said), "{error}");
}

#[actix_rt::test]
async fn a_name_that_nobody_knows_is_an_error_of_its_own() {
    let error = call("http://nobody.invalid/").await.unwrap_err();
    assert!(matches!(error, HookError::Lookup { .. }), "{error}");
    assert!(error.to_string().contains("\"nobody.invalid\""), "{error}");
}

#[actix_rt::test]
async fn a_name_without_addresses_or_a_failing_lookup_is_an_error_of_its_own() {
    let error = finding(&HookOptions::default(), Vec::new())
        .call(to("http://empty.example/"))
        .await;
    assert!(error.unwrap_err().to_string().contains("it has no address"));
    let failing = |_: &str, _| Err(io::Error::other("SERVFAIL"));
    let client = HookClient::with_lookup(&HookOptions::default(), Arc::new(failing)).unwrap();
    let error = client.call(to("http://broken.example/")).await.unwrap_err();
    assert!(error.to_string().contains("SERVFAIL"), "{error}");
}
