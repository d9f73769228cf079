//! What schedules say of themselves, in both languages.

use gaia_actors::schedule::Language;

use crate::schedule;

#[test]
fn every_notation_has_words() {
    for (expr, english, chinese) in WORDS {
        let schedule = schedule(expr);
        assert_eq!(schedule.describe(Language::English), *english, "{expr}");
        assert_eq!(schedule.describe(Language::Chinese), *chinese, "{expr}");
    }
}

const WORDS: &[(&str, &str, &str)] = &[
    ("* * * * *", "Every minute", "每分钟"),
    ("*/5 * * * *", "Every 5 minutes", "每 5 分钟"),
    ("0 * * * *", "Every hour", "每小时整点"),
    ("30 * * * *", "At minute 30 of every hour", "每小时第 30 分钟"),
    (
        "0,15,40 * * * *",
        "At minutes 0, 15 and 40 of every hour",
        "每小时第 0、15、40 分钟",
    ),
    (
        "*/7 * * * *",
        "Every 7 minutes from minute 0 of every hour",
        "每小时从第 0 分钟起每 7 分钟",
    ),
    (
        "10-20 * * * *",
        "At minutes 10 through 20 of every hour",
        "每小时第 10 至 20 分钟",
    ),
    (
        "10/25 * * * *",
        "At minutes 10 and 35 of every hour",
        "每小时第 10、35 分钟",
    ),
    ("0 0 * * *", "At 00:00 every day", "每天 00:00"),
    ("30 2 * * *", "At 02:30 every day", "每天 02:30"),
    ("0 9,17 * * *", "At 09:00 and 17:00 every day", "每天 09:00、17:00"),
    ("0 */6 * * *", "Every 6 hours", "每 6 小时"),
    (
        "30 */6 * * *",
        "At 00:30, 06:30, 12:30 and 18:30 every day",
        "每天 00:30、06:30、12:30、18:30",
    ),
    (
        "0 9-17 * * *",
        "Every hour from 09:00 through 17:00",
        "每天 09:00 至 17:00 每小时一次",
    ),
    (
        "30 22-2 * * *",
        "Every hour from 22:30 through 02:30",
        "每天 22:30 至 02:30 每小时一次",
    ),
    (
        "15 0-23/2 * * *",
        "Every 2 hours from 00:15 through 22:15",
        "每天 00:15 至 22:15 每 2 小时一次",
    ),
    (
        "*/5 9-17 * * 1-5",
        "Every 5 minutes between 09:00 and 17:59 on Monday through Friday",
        "每周一至周五 09:00 至 17:59 之间每 5 分钟",
    ),
    (
        "*/10 22-2 * * *",
        "Every 10 minutes between 22:00 and 02:59",
        "每天 22:00 至 02:59 之间每 10 分钟",
    ),
    (
        "*/10 3,7 * * *",
        "Every 10 minutes between 03:00 and 03:59 and between 07:00 and 07:59",
        "每天 03:00 至 03:59、07:00 至 07:59 之间每 10 分钟",
    ),
    (
        "* 2 * * *",
        "Every minute between 02:00 and 02:59",
        "每天 02:00 至 02:59 之间每分钟",
    ),
    (
        "10-20 2,4 * * *",
        "Every minute from 02:10 through 02:20 and from 04:10 through 04:20",
        "每天 02:10 至 02:20、04:10 至 04:20 每分钟一次",
    ),
    ("0 0 * * 0", "At 00:00 on Sunday", "每周日 00:00"),
    ("0 0 * * 7", "At 00:00 on Sunday", "每周日 00:00"),
    (
        "0 22 * * 1-5",
        "At 22:00 on Monday through Friday",
        "每周一至周五 22:00",
    ),
    (
        "0 0 * * fri-mon",
        "At 00:00 on Monday and Friday through Sunday",
        "每周一、周五至周日 00:00",
    ),
    (
        "0 0 * * mon,wed,fri",
        "At 00:00 on Monday, Wednesday and Friday",
        "每周一、周三、周五 00:00",
    ),
    ("0 0 1 * *", "At 00:00 on day 1 of the month", "每月 1 日 00:00"),
    (
        "0 0 1,15 * *",
        "At 00:00 on days 1 and 15 of the month",
        "每月 1 日、15 日 00:00",
    ),
    (
        "0 0 1-7 * *",
        "At 00:00 on days 1 through 7 of the month",
        "每月 1 日至 7 日 00:00",
    ),
    (
        "0 0 */10 * *",
        "At 00:00 on days 1, 11, 21 and 31 of the month",
        "每月 1 日、11 日、21 日、31 日 00:00",
    ),
    (
        "0 0 25 12 *",
        "At 00:00 on day 25 of December",
        "每年 12 月 25 日 00:00",
    ),
    (
        "0 0 1 1,7 *",
        "At 00:00 on day 1 of the month in January and July",
        "每年 1 月、7 月的 1 日 00:00",
    ),
    (
        "0 0 * 6-8 *",
        "At 00:00 every day in June through August",
        "每年 6 月至 8 月的每天 00:00",
    ),
    (
        "*/5 * * jan *",
        "Every 5 minutes in January",
        "每年 1 月的每天每 5 分钟",
    ),
    ("0 */4 * jan *", "Every 4 hours in January", "每年 1 月的每天每 4 小时"),
    (
        "0 0 L * *",
        "At 00:00 on the last day of the month",
        "每月最后一天 00:00",
    ),
    (
        "0 0 L-1 * *",
        "At 00:00 on the day that is 1 day before the last day of the month",
        "每月倒数第 2 天 00:00",
    ),
    (
        "0 0 L-3 2 *",
        "At 00:00 on the day that is 3 days before the last day of February",
        "每年 2 月倒数第 4 天 00:00",
    ),
    (
        "0 0 LW * *",
        "At 00:00 on the last weekday (Monday to Friday) of the month",
        "每月最后一个工作日（周一至周五）00:00",
    ),
    (
        "0 0 15W * *",
        "At 00:00 on the weekday (Monday to Friday) nearest day 15 of the month",
        "每月最接近 15 日的工作日（周一至周五）00:00",
    ),
    (
        "0 0 1,L * *",
        "At 00:00 on day 1 of the month and on the last day of the month",
        "每月 1 日以及每月最后一天 00:00",
    ),
    (
        "0 18 * * 5L",
        "At 18:00 on the last Friday of the month",
        "每月最后一个星期五 18:00",
    ),
    (
        "0 18 * * 5#3",
        "At 18:00 on the third Friday of the month",
        "每月第三个星期五 18:00",
    ),
    (
        "0 18 * 3 0#2",
        "At 18:00 on the second Sunday of March",
        "每年 3 月第二个星期日 18:00",
    ),
    (
        "0 18 * 3,9 mon#1",
        "At 18:00 on the first Monday of the month in March and September",
        "每年 3 月、9 月的第一个星期一 18:00",
    ),
    (
        "0 18 * * 5L,1",
        "At 18:00 on Monday and on the last Friday of the month",
        "每周一以及每月最后一个星期五 18:00",
    ),
    (
        "30 4 1,15 * 5",
        "At 04:30 on days 1 and 15 of the month and also on Friday",
        "每月 1 日、15 日以及每周五 04:30",
    ),
    (
        "0 0 13 6 5",
        "At 00:00 on day 13 of June and also on Friday in June",
        "每年 6 月 13 日以及每年 6 月的每周五 00:00",
    ),
    (
        "0 0 */10 * mon",
        "At 00:00 on Monday, but only on days 1, 11, 21 and 31 of the month",
        "每周一（仅当该日是 1 日、11 日、21 日、31 日）00:00",
    ),
    (
        "0 0 13 * */2",
        "At 00:00 on day 13 of the month, but only if it is Tuesday, Thursday, Saturday or Sunday",
        "每月 13 日（仅当该日是周二、周四、周六、周日）00:00",
    ),
    ("* * * * * *", "Every second", "每秒"),
    ("*/30 * * * * *", "Every 30 seconds", "每 30 秒"),
    ("15 * * * * *", "At second 15 of every minute", "每分钟第 15 秒"),
    ("0 0 * * * *", "Every hour", "每小时整点"),
    ("0 */5 * * * *", "Every 5 minutes", "每 5 分钟"),
    ("0 0 1 * * *", "At 01:00:00 every day", "每天 01:00:00"),
    ("0 30 2 * * *", "At 02:30:00 every day", "每天 02:30:00"),
    (
        "15 */20 * * * *",
        "At second 15 of minutes 0, 20 and 40 of every hour",
        "每小时第 0、20、40 分钟的第 15 秒",
    ),
    (
        "*/10 0-5 * * * *",
        "Every 10 seconds during minutes 0 through 5 of every hour",
        "每小时第 0 至 5 分钟内每 10 秒",
    ),
    (
        "*/10 0-5 9 * * *",
        "Every 10 seconds between 09:00:00 and 09:05:59",
        "每天 09:00:00 至 09:05:59 之间每 10 秒",
    ),
    (
        "5-30 0,30 9 * * *",
        "Every second from 09:00:05 through 09:00:30 and from 09:30:05 through 09:30:30",
        "每天 09:00:05 至 09:00:30、09:30:05 至 09:30:30 每秒一次",
    ),
    (
        "30 0 0 1 1 *",
        "At 00:00:30 on day 1 of January",
        "每年 1 月 1 日 00:00:30",
    ),
    (
        "*/20 * 8-18 * * 1-5",
        "Every 20 seconds between 08:00 and 18:59 on Monday through Friday",
        "每周一至周五 08:00 至 18:59 之间每 20 秒",
    ),
    ("@yearly", "At 00:00 on day 1 of January", "每年 1 月 1 日 00:00"),
    ("@monthly", "At 00:00 on day 1 of the month", "每月 1 日 00:00"),
    ("@weekly", "At 00:00 on Sunday", "每周日 00:00"),
    ("@daily", "At 00:00 every day", "每天 00:00"),
    ("@hourly", "Every hour", "每小时整点"),
    ("@every 30s", "Every 30 seconds", "每 30 秒"),
    ("@every 1s", "Every second", "每秒"),
    (
        "@every 1h30m10s",
        "Every 1 hour 30 minutes 10 seconds",
        "每 1 小时 30 分钟 10 秒",
    ),
    ("@every 2d", "Every 2 days", "每 2 天"),
    ("@every 90m", "Every 1 hour 30 minutes", "每 1 小时 30 分钟"),
    (
        "CRON_TZ=Asia/Shanghai 0 9 * * 1-5",
        "At 09:00 on Monday through Friday (Asia/Shanghai time)",
        "每周一至周五 09:00（Asia/Shanghai 时间）",
    ),
    (
        "TZ=America/New_York */5 * * * *",
        "Every 5 minutes (America/New_York time)",
        "每 5 分钟（America/New_York 时间）",
    ),
    ("CRON_TZ=Asia/Shanghai @every 5m", "Every 5 minutes", "每 5 分钟"),
];
