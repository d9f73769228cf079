//! Bringing tables to the version of the program.

use crate::{
    program::Way,
    served::{Served, kinds},
    support::Database,
};

#[actix_rt::test]
async fn tables_are_made_once() {
    for kind in kinds() {
        let database = Database::of_kind(kind);
        let way = Way::database(&database.url());
        let looked = way.ends(0, &["migrate", "--dry-run"]).await;
        let refused = way.ends(8, &["task", "list"]).await;
        assert!(refused.stderr.contains("gaia migrate"), "{refused:?}");
        let migrated = way.ends(0, &["migrate"]).await;
        assert!(
            migrated.stdout.starts_with("2026-11-22-000001_guide_tables\n"),
            "{migrated:?}"
        );
        if database.is_on_a_server() {
            assert_eq!(looked.stdout, migrated.stdout);
        }
        let again = way.ends(0, &["migrate"]).await;
        assert_eq!(again.stdout, "");
        assert!(again.stderr.contains("nothing is to be done"), "{again:?}");
        way.ends(0, &["migrate", "--dry-run"]).await;
        way.ends(0, &["task", "list"]).await;
    }
}

#[actix_rt::test]
async fn no_server_migrates() {
    let served = Served::start().await;
    let refused = served.remote().ends(2, &["migrate"]).await;
    assert!(refused.stderr.contains("--database"), "{refused:?}");
    served.stop().await;
}
