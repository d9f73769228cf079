//! What schedules say of themselves where values wrap, are many, or are all there are: read by people before it was written here.

use gaia_actors::schedule::Language;

use crate::schedule;

#[test]
fn the_words_say_what_happens() {
    for (expr, english, chinese) in PHRASES {
        let schedule = schedule(expr);
        assert_eq!(schedule.describe(Language::English), *english, "{expr}");
        assert_eq!(schedule.describe(Language::Chinese), *chinese, "{expr}");
    }
}

const PHRASES: &[(&str, &str, &str)] = &[
    (
        "1/2 * * * *",
        "Every 2 minutes from minute 1",
        "每小时从第 1 分钟起每 2 分钟",
    ),
    (
        "2/5 * * * *",
        "Every 5 minutes from minute 2",
        "每小时从第 2 分钟起每 5 分钟",
    ),
    (
        "5-50/9 * * * *",
        "Every 9 minutes from minute 5 through 50 of every hour",
        "每小时从第 5 分钟至第 50 分钟每 9 分钟",
    ),
    (
        "5/15 * * * *",
        "At minutes 5, 20, 35 and 50 of every hour",
        "每小时第 5、20、35、50 分钟",
    ),
    (
        "50-10 * * * *",
        "At minutes 0 through 10 and 50 through 59 of every hour",
        "每小时第 0 至 10、50 至 59 分钟",
    ),
    (
        "1,2,4,8,9,11,15,20,31,40,41,42,50,55 * * * *",
        "At minutes 1, 2, 4, 8, 9, 11, 15, 20, 31, 40 through 42, 50 and 55 of every hour",
        "每小时第 1、2、4、8、9、11、15、20、31、40 至 42、50、55 分钟",
    ),
    (
        "*/2,*/3 * * * *",
        "At every 2nd minute from minute 0 and every 3rd minute from minute 0 of every hour",
        "每小时从第 0 分钟起每 2 分钟以及从第 0 分钟起每 3 分钟",
    ),
    ("*/60 * * * *", "Every hour", "每小时整点"),
    (
        "30 * * * 1",
        "At minute 30 of every hour on Monday",
        "每周一每小时第 30 分钟",
    ),
    (
        "0 22-2 * * *",
        "Every hour from 22:00 through 02:00",
        "每天 22:00 至 02:00 每小时一次",
    ),
    (
        "0 22-2 * * 1",
        "Every hour from 00:00 through 02:00 and from 22:00 through 23:00 on Monday",
        "每周一 00:00 至 02:00、22:00 至 23:00 每小时一次",
    ),
    (
        "30 22-2 * 6-8 *",
        "Every hour from 00:30 through 02:30 and from 22:30 through 23:30 in June through August",
        "每年 6 月至 8 月的每天 00:30 至 02:30、22:30 至 23:30 每小时一次",
    ),
    (
        "30 22-2 1 * *",
        "Every hour from 00:30 through 02:30 and from 22:30 through 23:30 on day 1 of the month",
        "每月 1 日 00:30 至 02:30、22:30 至 23:30 每小时一次",
    ),
    (
        "*/10 22-2 * * 1",
        "Every 10 minutes between 00:00 and 02:59 and between 22:00 and 23:59 on Monday",
        "每周一 00:00 至 02:59、22:00 至 23:59 之间每 10 分钟",
    ),
    (
        "* 22-2 * * 1",
        "Every minute between 00:00 and 02:59 and between 22:00 and 23:59 on Monday",
        "每周一 00:00 至 02:59、22:00 至 23:59 之间每分钟",
    ),
    (
        "0 23-1 * * 1",
        "At 00:00, 01:00 and 23:00 on Monday",
        "每周一 00:00、01:00、23:00",
    ),
    (
        "0 8-12,14-18 * * *",
        "Every hour from 08:00 through 12:00 and from 14:00 through 18:00",
        "每天 08:00 至 12:00、14:00 至 18:00 每小时一次",
    ),
    (
        "0 8-12,14-18 * * 1-5",
        "Every hour from 08:00 through 12:00 and from 14:00 through 18:00 on Monday through Friday",
        "每周一至周五 08:00 至 12:00、14:00 至 18:00 每小时一次",
    ),
    (
        "0,30 9-17 * * 1-5",
        "Every 30 minutes between 09:00 and 17:59 on Monday through Friday",
        "每周一至周五 09:00 至 17:59 之间每 30 分钟",
    ),
    (
        "*/30 9 * * *",
        "Every 30 minutes between 09:00 and 09:59",
        "每天 09:00 至 09:59 之间每 30 分钟",
    ),
    (
        "*/7 9 * * *",
        "Every 7 minutes from 09:00 through 09:56",
        "每天 09:00 至 09:56 每 7 分钟一次",
    ),
    (
        "*/7 9-17 * * *",
        "Every 7 minutes from minute 0 of every hour between 09:00 and 17:59",
        "每天 09:00 至 17:59 之间每小时从第 0 分钟起每 7 分钟",
    ),
    (
        "5/7 9,14 * * *",
        "Every 7 minutes from 09:05 through 09:54 and from 14:05 through 14:54",
        "每天 09:05 至 09:54、14:05 至 14:54 每 7 分钟一次",
    ),
    (
        "10-20 9-17 * * *",
        "At minutes 10 through 20 of every hour between 09:00 and 17:59",
        "每天 09:00 至 17:59 之间每小时第 10 至 20 分钟",
    ),
    (
        "*/10 1,3,5,8,11,20 * * *",
        "Every 10 minutes during hours 1, 3, 5, 8, 11 and 20",
        "每天 1、3、5、8、11、20 点期间每 10 分钟",
    ),
    (
        "*/10 */2 * * *",
        "Every 10 minutes during every 2nd hour from hour 0",
        "每天 00:00 起每 2 小时的首个小时内每 10 分钟",
    ),
    (
        "*/10 1/2 * * *",
        "Every 10 minutes during every 2nd hour from hour 1",
        "每天 01:00 起每 2 小时的首个小时内每 10 分钟",
    ),
    (
        "1/2 9-17 * * *",
        "Every 2 minutes from minute 1 between 09:00 and 17:59",
        "每天 09:00 至 17:59 之间每小时从第 1 分钟起每 2 分钟",
    ),
    ("0 */2 * * *", "Every 2 hours", "每 2 小时"),
    (
        "0 1/2 * * *",
        "Every 2 hours from 01:00 through 23:00",
        "每天 01:00 至 23:00 每 2 小时一次",
    ),
    (
        "15 */2 * * *",
        "Every 2 hours from 00:15 through 22:15",
        "每天 00:15 至 22:15 每 2 小时一次",
    ),
    (
        "15 */6 * * *",
        "At 00:15, 06:15, 12:15 and 18:15 every day",
        "每天 00:15、06:15、12:15、18:15",
    ),
    (
        "0 9-17/2 * * *",
        "Every 2 hours from 09:00 through 17:00",
        "每天 09:00 至 17:00 每 2 小时一次",
    ),
    (
        "0 */5 * * *",
        "Every 5 hours from 00:00 through 20:00",
        "每天 00:00 至 20:00 每 5 小时一次",
    ),
    ("0 */24 * * *", "At 00:00 every day", "每天 00:00"),
    ("0 0 */24 * * *", "At 00:00:00 every day", "每天 00:00:00"),
    ("0 */60 * * * *", "Every hour", "每小时整点"),
    (
        "15 0-3,5,7-20,23 * * *",
        "At minute 15 of every hour between 05:00 and 05:59, between 07:00 and 20:59 and between 23:00 and 03:59",
        "每天 05:00 至 05:59、07:00 至 20:59、23:00 至 03:59 之间每小时第 15 分钟",
    ),
    (
        "0,20 */2 * * *",
        "At minutes 0 and 20 of every 2nd hour from hour 0",
        "每天 00:00 起每 2 小时的首个小时内第 0、20 分钟",
    ),
    ("0 0 1-31 * *", "At 00:00 every day", "每天 00:00"),
    ("0 0 1-31 * mon", "At 00:00 every day", "每天 00:00"),
    ("0 0 13 * 0-6", "At 00:00 every day", "每天 00:00"),
    ("0 0 * * 0-6", "At 00:00 every day", "每天 00:00"),
    ("0 0 * * mon-sun", "At 00:00 every day", "每天 00:00"),
    ("0 0 1-31 1-12 *", "At 00:00 every day", "每天 00:00"),
    ("0 0 1 1-12 *", "At 00:00 on day 1 of the month", "每月 1 日 00:00"),
    (
        "0 0 */2 * *",
        "At 00:00 on every 2nd day of the month from day 1",
        "每月 1 日起每 2 天 00:00",
    ),
    (
        "0 0 2/3 * *",
        "At 00:00 on every 3rd day of the month from day 2",
        "每月 2 日起每 3 天 00:00",
    ),
    (
        "0 0 2-20/3 * *",
        "At 00:00 on every 3rd day of the month from day 2 through 20",
        "每月 2 日至 20 日每 3 天 00:00",
    ),
    (
        "0 0 */2 * mon",
        "At 00:00 on Monday, but only on every 2nd day of the month from day 1",
        "每周一（仅限 1 日起每 2 天的日期）00:00",
    ),
    (
        "0 0 1-31 * */2",
        "At 00:00 on Tuesday, Thursday, Saturday and Sunday",
        "每周二、周四、周六、周日 00:00",
    ),
    (
        "0 0 * */2 *",
        "At 00:00 every day in January, March, May, July, September and November",
        "每年 1 月、3 月、5 月、7 月、9 月、11 月的每天 00:00",
    ),
    (
        "0 0 * * */2",
        "At 00:00 on Tuesday, Thursday, Saturday and Sunday",
        "每周二、周四、周六、周日 00:00",
    ),
    ("0 0 * * 5-7/2", "At 00:00 on Friday and Sunday", "每周五、周日 00:00"),
    (
        "0 0 * 11-2 *",
        "At 00:00 every day in January, February, November and December",
        "每年 1 月、2 月、11 月、12 月的每天 00:00",
    ),
    (
        "0 0 30-2 * *",
        "At 00:00 on days 1, 2, 30 and 31 of the month",
        "每月 1 日、2 日、30 日、31 日 00:00",
    ),
    ("0 0 1-31,L * *", "At 00:00 every day", "每天 00:00"),
    (
        "*/10 30 8 * * *",
        "Every 10 seconds between 08:30:00 and 08:30:59",
        "每天 08:30:00 至 08:30:59 之间每 10 秒",
    ),
    (
        "*/10 30 8,9 * * *",
        "Every 10 seconds between 08:30:00 and 08:30:59 and between 09:30:00 and 09:30:59",
        "每天 08:30:00 至 08:30:59、09:30:00 至 09:30:59 之间每 10 秒",
    ),
    (
        "*/10 30 8-17 * * *",
        "Every 10 seconds during minute 30 of every hour between 08:00 and 17:59",
        "每天 08:00 至 17:59 之间每小时第 30 分钟内每 10 秒",
    ),
    (
        "*/10 30-35 8-17 * * *",
        "Every 10 seconds during minutes 30 through 35 of every hour between 08:00 and 17:59",
        "每天 08:00 至 17:59 之间每小时第 30 至 35 分钟内每 10 秒",
    ),
    (
        "*/10 */5 * * * *",
        "Every 10 seconds during every 5th minute from minute 0 of every hour",
        "每小时从第 0 分钟起每 5 分钟的首分钟内每 10 秒",
    ),
    (
        "*/10 */5 9-17 * * *",
        "Every 10 seconds during every 5th minute from minute 0 of every hour between 09:00 and 17:59",
        "每天 09:00 至 17:59 之间每小时从第 0 分钟起每 5 分钟的首分钟内每 10 秒",
    ),
    (
        "* 30 8 * * *",
        "Every second between 08:30:00 and 08:30:59",
        "每天 08:30:00 至 08:30:59 之间每秒",
    ),
    (
        "5-30 0,30 9-17 * * *",
        "At seconds 5 through 30 of minutes 0 and 30 of every hour between 09:00 and 17:59",
        "每天 09:00 至 17:59 之间每小时第 0、30 分钟的第 5 至 30 秒",
    ),
    (
        "15 */5 * * * *",
        "At second 15 of every 5th minute from minute 0 of every hour",
        "每小时从第 0 分钟起每 5 分钟的首分钟的第 15 秒",
    ),
    (
        "15 */5 9-17 * * 1-5",
        "At second 15 of every 5th minute from minute 0 of every hour between 09:00 and 17:59 on Monday through Friday",
        "每周一至周五 09:00 至 17:59 之间每小时从第 0 分钟起每 5 分钟的首分钟的第 15 秒",
    ),
    (
        "15 * 9-17 * * *",
        "At second 15 of every minute between 09:00 and 17:59",
        "每天 09:00 至 17:59 之间每分钟第 15 秒",
    ),
    (
        "1/2 * * * * *",
        "Every 2 seconds from second 1",
        "每分钟从第 1 秒起每 2 秒",
    ),
    (
        "1/7 * * * * *",
        "Every 7 seconds from second 1 of every minute",
        "每分钟从第 1 秒起每 7 秒",
    ),
    (
        "1/7 * 9 * * *",
        "Every 7 seconds from second 1 of every minute between 09:00 and 09:59",
        "每天 09:00 至 09:59 之间每分钟从第 1 秒起每 7 秒",
    ),
    (
        "7 3 * * * *",
        "At second 7 of minute 3 of every hour",
        "每小时第 3 分钟的第 7 秒",
    ),
    ("*/5 * * * 1", "Every 5 minutes on Monday", "每周一每 5 分钟"),
    (
        "0 0 LW 1,7 *",
        "At 00:00 on the last weekday (Monday to Friday) of the month in January and July",
        "每年 1 月、7 月的最后一个工作日（周一至周五）00:00",
    ),
    ("? ? ? ? ?", "Every minute", "每分钟"),
    ("@every 1d", "Every day", "每天"),
    ("@every 1h", "Every hour", "每小时"),
    ("@every 1m", "Every minute", "每分钟"),
    ("@every 1.5s", "Every second", "每秒"),
    ("@every 90s", "Every 1 minute 30 seconds", "每 1 分钟 30 秒"),
    ("@every 36h", "Every 1 day 12 hours", "每 1 天 12 小时"),
    (
        "CRON_TZ=Asia/Shanghai */5 * * * *",
        "Every 5 minutes (Asia/Shanghai time)",
        "每 5 分钟（Asia/Shanghai 时间）",
    ),
    (
        "*/2,*/3,55 * * * *",
        "At every 2nd minute from minute 0, every 3rd minute from minute 0 and minute 55 of every hour",
        "每小时从第 0 分钟起每 2 分钟以及从第 0 分钟起每 3 分钟以及第 55 分钟",
    ),
    (
        "1/2,0 * * * *",
        "At every 2nd minute from minute 1 and minute 0 of every hour",
        "每小时从第 1 分钟起每 2 分钟以及第 0 分钟",
    ),
    (
        "*/10 0-20/2 * * *",
        "Every 10 minutes during every 2nd hour from hour 0 through 20",
        "每天 00:00 至 20:00 每 2 小时的首个小时内每 10 分钟",
    ),
    (
        "*/10 */2,3,7 * * *",
        "Every 10 minutes during every 2nd hour from hour 0 and hours 3 and 7",
        "每天 0、2 至 4、6 至 8、10、12、14、16、18、20、22 点期间每 10 分钟",
    ),
    (
        "0 0 */2,4 * *",
        "At 00:00 on every 2nd day from day 1 and day 4 of the month",
        "每月 1 日起每 2 天、4 日 00:00",
    ),
    (
        "1/2,2/6,3 * * * * *",
        "At every 2nd second from second 1 and every 6th second from second 2 of every minute",
        "每分钟从第 1 秒起每 2 秒以及从第 2 秒起每 6 秒",
    ),
];
