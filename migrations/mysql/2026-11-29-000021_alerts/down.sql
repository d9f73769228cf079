-- Back to the version before, by hand: with all nodes stopped. Open alerts are forgotten: a newer version raises those anew whose causes go on.
DROP TABLE IF EXISTS gaia_alerts;
DELETE FROM gaia_migrations WHERE version = '20261129000021';
