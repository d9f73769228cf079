//! 错误信息。

use super::faults::Row;

pub(super) const FAULTS: &[Row] = &[
    // Any text.
    ("invalid input: {}", "输入有误：{0:fault}"),
    ("at {}: {}", "第 {0} 个字符处：{1:fault}"),
    ("there are {} further faults", "另有 {0} 处错误"),
    ("{} (which a cron_job needs) is empty", "“{0:label}”不能为空"),
    ("{} is empty", "“{0:label}”不能为空"),
    ("{} is empty", "{0} 不能为空"),
    (
        "{} has {} characters, at most {} fit its column",
        "“{0:label}”有 {1} 个字符，最多 {2} 个",
    ),
    (
        "{} has {} characters, at most {} fit its column",
        "{0:fault}有 {1} 个字符，最多 {2} 个",
    ),
    (
        "{} has {} characters, at most {} fit its column",
        "{0} 有 {1} 个字符，最多 {2} 个",
    ),
    (
        "{} holds the control character {}; leave it out",
        "“{0:label}”含有控制字符 {1}，请去掉",
    ),
    (
        "{} holds the control character {}; leave it out",
        "{0} 含有控制字符 {1}，请去掉",
    ),
    ("{} is {}, expected a whole number", "“{0:label}”为 {1}，应为整数"),
    ("{} holds something else than {}", "“{0:label}”的内容格式不正确"),
    // Limits of methods.
    (
        "the limit limits nothing: say how many tasks may run at once, or how many may start in a time; to lift a limit, remove it",
        "请填写“同时执行”或“开始数”；不再需要限流时，请解除限流",
    ),
    (
        "{} tasks at once: 1 to {} may run; with none of them the method would stand still, for which its theme can be paused",
        "同时执行数为 {0}，应为 1 到 {1}；要让方法停下，请暂停它所在的主题",
    ),
    (
        "{} starts: 1 to {} in a time are possible",
        "开始数为 {0}，应为 1 到 {1}",
    ),
    (
        "starts in {}: the time is 1 ms to 366 days",
        "时间长度为 {0}，应为 1 毫秒到 366 天",
    ),
    (
        "{} methods have limits, and no more can; remove limits that are not needed",
        "已有 {0} 个方法设置了限流，不能再增加；请解除不需要的限流",
    ),
    ("the method {} has no limit", "方法 {0} 没有限流"),
    ("the form holds no unit of time", "表单里没有时间单位"),
    // The search line.
    (
        "this quote has no end; write \\\" for a quote as such",
        "引号没有结束；如需引号本身，请写作 \\\"",
    ),
    (
        "unknown qualifier {}, the nearest is {}; put a text with a colon in quotes to look for it",
        "未知的条件 {0}，最接近的是 {1}；如需查找带冒号的文本，请加引号",
    ),
    (
        "unknown qualifier {}, known are {}; put a text with a colon in quotes to look for it",
        "未知的条件 {0}，可用的条件有 {1}；如需查找带冒号的文本，请加引号",
    ),
    (
        "{} has no value directly behind the colon, expected {}",
        "{0} 的冒号后面没有紧跟内容，应为{1:fault}",
    ),
    ("{} has an empty value, expected {}", "{0} 有空值，应为{1:fault}"),
    (
        "{} is there already, at {}; expected once",
        "{0} 在第 {1} 个字符处已经出现过，只能出现一次",
    ),
    (
        "{} says the same as {} at {}; expected one of them",
        "{0} 与第 {2} 个字符处的 {1} 含义相同，只能使用其中一个",
    ),
    (
        "unknown status {}, the nearest is {}; expected {}",
        "未知的状态 {0}，最接近的是 {1}；应为{2:fault}",
    ),
    ("unknown status {}; expected {}", "未知的状态 {0}；应为{1:fault}"),
    (
        "id {} is no id, expected numbers with commas between them",
        "编号 {0} 不正确，应为以逗号分隔的数字",
    ),
    (
        "the filter names {} {}, at most {} are allowed",
        "条件中有 {0} 个{1:fault}，最多 {2} 个",
    ),
    (
        "the filter asks for tasks of a node and for tasks without one",
        "条件同时要求在某个节点上和不在任何节点上的任务",
    ),
    ("themes", "主题"),
    ("statuses", "状态"),
    ("ids", "编号"),
    (
        "wait, running, success, failed, retry or cancelled, several with commas between them",
        " wait、running、success、failed、retry 或 cancelled，多个以逗号分隔",
    ),
    (
        "names of themes, several with commas between them",
        "主题名称，多个以逗号分隔",
    ),
    (
        "Service.Method, Service.* or *.Method",
        " Service.Method、Service.* 或 *.Method",
    ),
    ("numbers, several with commas between them", "数字，多个以逗号分隔"),
    ("a unique key", "唯一键"),
    ("a limit key", "限流键"),
    (
        "the id of a node, or none for tasks that no node runs",
        "节点编号；none 表示不在任何节点上的任务",
    ),
    ("a log id", "日志编号"),
    ("a text", "文本"),
    (
        "a length of time such as 30m, 2h, 7d or 1d 12h in quotes",
        "时长，例如 30m、2h、7d，或加引号的 1d 12h",
    ),
    (
        "a time such as 2026-01-31T08:00:00Z, a date such as 2026-01-31, or how long ago, such as 2h",
        "时间（例如 2026-01-31T08:00:00Z）、日期（例如 2026-01-31）或多久以前（例如 2h）",
    ),
    // Parameters.
    (
        "{} says the same as a part of q; expected one of them",
        "参数 {0} 与搜索条件中的内容重复，只能使用其中一个",
    ),
    (
        "{} is there {} times, expected once",
        "参数 {0} 出现了 {1} 次，只能出现一次",
    ),
    (
        "{} is {}, expected a time such as 2026-01-31T08:00:00Z ({})",
        "参数 {0} 为 {1}，应为时间，例如 2026-01-31T08:00:00Z",
    ),
    (
        "unknown parameter {}; the nearest known is {}",
        "未知的参数 {0}，最接近的是 {1}",
    ),
    ("unknown parameter {}; known are {}", "未知的参数 {0}，可用的参数有 {1}"),
    (
        "unknown parameter {}; no parameter is known here",
        "未知的参数 {0}，此处没有参数",
    ),
    (
        "the query has {} parameters, at most {} are allowed",
        "请求有 {0} 个参数，最多 {1} 个",
    ),
    ("{} is no UTF-8 after its escapes are decoded", "{0} 解码后不是 UTF-8"),
    (
        "the path is no UTF-8 after its escapes are decoded",
        "路径解码后不是 UTF-8",
    ),
    ("this is no cursor of this API", "翻页位置无效，请从第一页开始"),
    (
        "the cursor is of another version of this API; begin with the first page",
        "翻页位置来自其他版本，请从第一页开始",
    ),
    (
        "the cursor belongs to another list or another filter; begin with the first page",
        "翻页位置属于其他列表或条件，请从第一页开始",
    ),
    ("{} is neither true nor false", "参数 {0} 应为 true 或 false"),
    ("{} is missing", "缺少参数 {0}"),
    ("{} is no id of a {}, expected a number", "{0} 不是编号，应为数字"),
    // Jobs.
    ("cron_expr: {}", "{0:fault}"),
    (
        "unknown job_type {}, expected one of {}",
        "未知的类型 {0}，应为 {1} 之一",
    ),
    (
        "unknown overlap_policy {}, expected one of {}",
        "未知的重叠策略 {0}，应为 {1} 之一",
    ),
    (
        "unknown misfire_policy {}, expected one of {}",
        "未知的错过触发策略 {0}，应为 {1} 之一",
    ),
    (
        "unknown hook method {}, expected one of {}",
        "未知的 HTTP 方法 {0}，应为 {1} 之一",
    ),
    (
        "unknown time {}, expected one of {}",
        "未知的时间范围 {0}，应为 {1} 之一",
    ),
    (
        "unknown attempts {}, expected one of {}",
        "未知的执行范围 {0}，应为 {1} 之一",
    ),
    (
        "{} is {} s, expected whole seconds from {} to {}",
        "“{0:label}”为 {1} 秒，应为 {2} 到 {3} 之间的整数秒",
    ),
    ("{} is {}, expected {} to {}", "“{0:label}”为 {1}，应为 {2} 到 {3}"),
    ("{} is {}, expected {} to {}", "参数 {0} 为 {1}，应为 {2} 到 {3}"),
    ("{} is {}, expected 0 or more", "“{0:label}”为 {1}，不能小于 0"),
    (
        "the arguments are not JSON: {} at line {} column {}",
        "“参数”不是合法的 JSON：第 {1} 行第 {2} 列有误",
    ),
    (
        "the arguments have {} bytes, at most {} are stored",
        "“参数”有 {0} 字节，最多 {1} 字节",
    ),
    ("hook_url is empty, a cron_hook needs one", "“URL”不能为空"),
    (
        "the hook's URL has {} characters, at most {} fit its column",
        "“URL”有 {0} 个字符，最多 {1} 个",
    ),
    (
        "the hook's URL holds a control character; expected http:// or https:// with a host, such as {}",
        "“URL”含有控制字符；应为带主机名的 http:// 或 https:// 地址，例如 {0}",
    ),
    (
        "the hook's URL cannot be read ({}); expected http:// or https:// with a host, such as {}",
        "“URL”无法解析；应为带主机名的 http:// 或 https:// 地址，例如 {1}",
    ),
    (
        "the hook's URL has the scheme {}; expected http:// or https:// with a host, such as {}",
        "“URL”的协议不受支持；应为带主机名的 http:// 或 https:// 地址，例如 {1}",
    ),
    (
        "the hook's URL has no host; expected http:// or https:// with a host, such as {}",
        "“URL”没有主机名；应为带主机名的 http:// 或 https:// 地址，例如 {0}",
    ),
    (
        "the hook's URL holds a user name or a password, which logs would show; expected none: send them in an authorization header of the job",
        "“URL”中含有用户名或密码，会出现在日志中；请改用请求头 authorization",
    ),
    (
        "the hook has {} headers, expected at most {}",
        "请求头有 {0} 个，最多 {1} 个",
    ),
    (
        "the hook's headers have {} bytes, expected at most {}",
        "请求头共 {0} 字节，最多 {1} 字节",
    ),
    (
        "the hook's header {} is given twice (case does not matter); expected once",
        "请求头 {0} 重复（不区分大小写）",
    ),
    (
        "the hook's header name {} is none; expected letters, digits and hyphens",
        "请求头名称 {0} 不正确，应由字母、数字和连字符组成",
    ),
    (
        "the hook's header {} is written by the client itself; leave it out",
        "请求头 {0} 由客户端自行生成，请去掉",
    ),
    (
        "the value of the hook's header {} cannot be sent; expected printable ASCII on one line",
        "请求头 {0} 的值无法发送，应为单行可见 ASCII 字符",
    ),
    (
        "line {} of the headers has no colon, expected name: value",
        "请求头第 {0} 行没有冒号，格式应为“名称: 值”",
    ),
    ("header {} is there twice, expected once", "请求头 {0} 重复"),
    (
        "header {} has the value (hidden), which stands for a value that is not shown; write the real one",
        "请求头 {0} 的值 (hidden) 只是占位，请填写真实的值",
    ),
    (
        "the hook's secret is no base64; expected whsec_ and 24 to 64 random bytes in base64",
        "签名密钥不是 base64；应为 whsec_ 加 24 到 64 个随机字节的 base64",
    ),
    (
        "the hook's secret has {} bytes after decoding, expected 24 to 64; make a new one",
        "签名密钥解码后有 {0} 字节，应为 24 到 64 字节，请重新生成",
    ),
    // Schedules.
    (
        "the cron expression is empty; write five fields such as {}, six with seconds first, or a macro such as @daily",
        "cron 表达式为空；请填写五个字段（例如 {0}）、以秒开头的六个字段，或 @daily 这样的宏",
    ),
    (
        "the cron expression has {} characters, at most {} are allowed; divide it into several schedules",
        "cron 表达式有 {0} 个字符，最多 {1} 个；请拆分成多个定时任务",
    ),
    (
        "cron expression {} has {} field, expected {}",
        "cron 表达式 {0} 只有 {1} 个字段，应为{2:fault}",
    ),
    (
        "cron expression {} has {} fields, expected {}",
        "cron 表达式 {0} 有 {1} 个字段，应为{2:fault}",
    ),
    (
        "five (minute hour day-of-month month day-of-week) or six (second minute hour day-of-month month day-of-week)",
        "五个（分 时 日 月 周）或六个（秒 分 时 日 月 周）",
    ),
    (
        "five (minute hour day-of-month month day-of-week)",
        "五个（分 时 日 月 周）",
    ),
    (
        "six (second minute hour day-of-month month day-of-week)",
        "六个（秒 分 时 日 月 周）",
    ),
    ("put the second in front, such as {}", "请在前面加上秒，例如 {0}"),
    ("leave out the second in front", "请去掉前面的秒"),
    ("a year is not supported", "不支持年份"),
    ("an asterisk stands for every value", "星号表示任意值"),
    ("second", "秒"),
    ("minute", "分"),
    ("hour", "时"),
    ("day-of-month", "日"),
    ("month", "月"),
    ("day-of-week", "周"),
    ("weekday", "周"),
    (
        "a list that begins with * or ? cannot hold L, W or #; write the days it stands for",
        "以 * 或 ? 开头的列表不能含有 L、W 或 #，请写出具体的日期",
    ),
    (
        "there is nothing before or after a comma; remove the comma or write a value",
        "逗号前后缺少内容，请去掉逗号或补上值",
    ),
    (
        "{} is not a step; after / comes a number from 1, such as */2",
        "{0} 不是步长；/ 后面应为从 1 开始的数字，例如 */2",
    ),
    (
        "a step of 0 never moves on; steps begin with 1",
        "步长不能为 0，应从 1 开始",
    ),
    ("{} is out of range {}; {}", "{0} 超出范围 {1}；{2:fault}"),
    ("the full minute is second 0", "整分是第 0 秒"),
    ("the full hour is minute 0", "整点是第 0 分"),
    ("midnight is hour 0", "零点是 0 时"),
    (
        "days begin with 1, and the last of every month is L",
        "日期从 1 开始，每月最后一天写作 L",
    ),
    ("or a name JAN-DEC", "也可以写 JAN-DEC"),
    (
        "0 and 7 are Sunday, or a name SUN-SAT",
        "0 和 7 都是周日，也可以写 SUN-SAT",
    ),
    (
        "a value is missing; expected {}, *, a range 1-5 or a step */2",
        "缺少值；应为 {0}、*、范围 1-5 或步长 */2",
    ),
    (
        "{} is no name of a {}; the nearest is {}, and numbers are {}",
        "{0} 不是“{1:fault}”的名称，最接近的是 {2}；数字范围是 {3}",
    ),
    (
        "{} is no name of a {}; names are {}, and numbers are {}",
        "{0} 不是“{1:fault}”的名称；名称有 {2}，数字范围是 {3}",
    ),
    (
        "{} is not a value; expected {}, *, a list 1,3, a range 1-5 or a step */2",
        "{0} 不是合法的值；应为 {1}、*、列表 1,3、范围 1-5 或步长 */2",
    ),
    (
        "{} is not one weekday; with {} stands a number 0-7 or a name, such as 5 or FRI, and several are written as a list",
        "{0} 不是一个星期几；与 {1} 一起使用的应为 0-7 或名称，例如 5 或 FRI，多个请写成列表",
    ),
    (
        "{} is not one day; with {} stands a number {}, such as 15W, and several are written as a list 1W,15W",
        "{0} 不是一个日期；与 {1} 一起使用的应为 {2} 的数字，例如 15W，多个请写成列表 1W,15W",
    ),
    (
        "{} is not supported; use L-3, LW or 15W",
        "不支持 {0}，请使用 L-3、LW 或 15W",
    ),
    (
        "{} is not a number of days before the last; L-1 to L-30 are allowed, and L is the last day itself",
        "{0} 不是距月末的天数；可以使用 L-1 到 L-30，L 表示最后一天",
    ),
    (
        "L needs a day before it; 5L is the last Friday of the month, and 6 is every Saturday",
        "L 前面需要星期几；5L 表示当月最后一个周五，6 表示每个周六",
    ),
    (
        "{} is not a week of the month; after # comes 1-5, and 5L is the last Friday",
        "{0} 不是当月的第几周；# 后面应为 1-5，5L 表示最后一个周五",
    ),
    ("{} field {}: {}", "“{0:fault}”字段 {1}：{2:fault}"),
    (
        "unknown macro {}, the nearest known is {}; an interval is written as @every 30s",
        "未知的宏 {0}，最接近的是 {1}；间隔写作 @every 30s",
    ),
    (
        "unknown macro {}; known are {}; an interval is written as @every 30s",
        "未知的宏 {0}，可用的宏有 {1}；间隔写作 @every 30s",
    ),
    (
        "@every {}: {}; write an interval such as 30s, 5m or 1h30m10s",
        "@every {0}：{1:fault}；请填写间隔，例如 30s、5m 或 1h30m10s",
    ),
    ("an interval of nothing never ends", "间隔不能为 0"),
    ("the interval is longer than a hundred years", "间隔超过一百年"),
    ("the interval is missing", "缺少间隔"),
    ("{} does not begin with a number", "{0} 没有以数字开头"),
    ("{} has no unit {}", "{0} 没有单位（w、d、h、m、s、ms、us 或 ns）"),
    ("{} is not a number", "{0} 不是数字"),
    (
        "unknown time zone {}, the nearest known is {}; names are those of the IANA database",
        "未知的时区 {0}，最接近的是 {1}；应为 IANA 时区名称",
    ),
    (
        "unknown time zone {}; names are those of the IANA database",
        "未知的时区 {0}；应为 IANA 时区名称",
    ),
    (
        "the name of the time zone has {} characters, at most {} are allowed; names are those of the IANA database, such as {}",
        "时区名称有 {0} 个字符，最多 {1} 个；应为 IANA 时区名称，例如 {2}",
    ),
    (
        "cron expression {} never fires: no date has its days in its months; check day-of-month, month and day-of-week",
        "cron 表达式 {0} 永远不会触发：没有符合的日期，请检查日、月、周字段",
    ),
    // Refusals.
    ("{} workers, expected at most {}", "Worker 数为 {0}，最多 {1}"),
    (
        "unknown variant {}, expected one of {} at line {} column {}",
        "未知的值 {0}，应为 {1} 之一",
    ),
    (
        "invalid value: integer `{}`, expected u32 at line {} column {}",
        "值 {0} 不正确，应为从 0 开始的整数",
    ),
    (
        "invalid value: integer `{}`, expected u64 at line {} column {}",
        "值 {0} 不正确，应为从 0 开始的整数",
    ),
    (
        "invalid value: integer `{}`, expected usize at line {} column {}",
        "{0} 不是合法的数量，不能小于 0",
    ),
    ("there is no task {}", "没有编号为 {0} 的任务"),
    ("there is no job {}", "没有编号为 {0} 的定时任务"),
    (
        "there is no run {}; records are deleted after the retention time",
        "没有编号为 {0} 的执行记录，超过保留时间的记录会被删除",
    ),
    ("there is no run {}", "没有编号为 {0} 的执行记录"),
    ("there is no bulk operation {}", "没有编号为 {0} 的批量操作"),
    (
        "there is no node {}; it has stopped, or other nodes have declared it dead",
        "没有节点 {0}：它已停止，或已被其他节点判定为失联",
    ),
    ("there is nothing at {}", "没有页面 {0}"),
    ("this needs the permission {}", "需要权限 {0}"),
    (
        "the caller is limited to some themes, and this is outside of them",
        "当前用户只能访问部分主题，这里不在其中",
    ),
    (
        "a page of another site has asked for this change; a proxy must leave the Host header as it is",
        "该修改由其他网站的页面发起；代理必须保留 Host 请求头",
    ),
    (
        "too many searches, counts and exports run at the same time; try again",
        "同时进行的搜索、统计和导出过多，请稍后重试",
    ),
    (
        "too many requests in a short time; try again in {} s",
        "短时间内请求过多，请在 {0} 秒后重试",
    ),
    (
        "too many passwords wait to be checked; try again later",
        "等待验证的登录过多，请稍后重试",
    ),
    (
        "send a token that this API knows, as Authorization: Bearer …",
        "请在 Authorization: Bearer … 中发送有效的令牌",
    ),
    ("this API does not know the caller", "无法识别当前用户"),
    (
        "this API does not know the caller; send Authorization, as WWW-Authenticate says",
        "无法识别当前用户，请登录",
    ),
    ("the form holds no bulk operation", "表单中没有批量操作"),
    (
        "the filter has no condition, so it means every task of the database; set `all` if it should",
        "没有任何条件，会影响数据库中的全部任务",
    ),
    (
        "the filter has no status from which {} is allowed: {}",
        "条件中没有允许 {0} 的状态（{1}）",
    ),
    (
        "cannot {} task {}: it is {}, and only {} may be",
        "无法对任务 {1} 执行 {0}：任务状态为 {2}，只允许 {3}",
    ),
    (
        "cannot retry task {}: another unfinished task has its unique key; wait for that one, or cancel it",
        "无法重试任务 {0}：另一个未结束的任务有相同的唯一键，请等待它结束或取消它",
    ),
    (
        "the definition of job {} has changed since version {}; look at the job again, then change it",
        "定时任务 {0} 自版本 {1} 之后已被修改，请查看最新内容后再修改",
    ),
    (
        "job {} has the name {} already; choose another, or update that job",
        "名称 {1} 已被定时任务 {0} 使用，请换一个名称，或修改那个定时任务",
    ),
    (
        "job {} cannot run: {}; mend it with `update_job`",
        "定时任务 {0} 无法执行：{1:fault}。请修改该定时任务",
    ),
    (
        "job {} does not run now: {}; wait for that run, or cancel it with `cancel_job`",
        "定时任务 {0} 现在没有执行：上一次执行尚未结束。请等待其结束，或停止执行",
    ),
    (
        "job {} is locked by another transaction, which has not ended within 5 s; end it, or try again",
        "定时任务 {0} 被另一个事务锁定超过 5 秒，请稍后重试",
    ),
    (
        "no node has taken the request within {}: {}; the request is withdrawn, and nothing was done",
        "{0} 内没有节点接受请求，请求已撤回，没有执行任何操作。请检查节点是否存活",
    ),
    (
        "node {} has taken the request and {}; whether it was followed is unknown, so look before you ask again",
        "节点 {0} 已接受请求，但没有回应；不确定是否已执行，请先查看结果再重试",
    ),
    (
        "node {} could not follow the request; the log says more at request {}",
        "节点 {0} 无法执行请求，详情见日志（请求 {1}）",
    ),
    (
        "node {} runs no scheduler of theme {}, by its last heartbeat",
        "按最近一次心跳，节点 {0} 不处理主题 {1}",
    ),
    (
        "theme {} has no scheduler in this process; start one, or ask a process that has it",
        "本进程不处理主题 {0}",
    ),
    (
        "jobs must not run in the environment {}: it is in Jobs.BanEnvList",
        "环境 {0} 禁止执行定时任务（Jobs.BanEnvList）",
    ),
    (
        "this node has no heartbeat in the database and may claim nothing until it has; try again",
        "本节点在数据库中没有心跳，暂时不能领取任务，请稍后重试",
    ),
    ("this Gaia has stopped", "本进程已停止"),
    (
        "{}; the log says more at request {}",
        "{0:fault}，详情见日志（请求 {1}）",
    ),
    ("the actors of this process are gone", "本进程的 actor 已停止"),
    ("this process is at fault", "本进程出错"),
    ("the connection to the database was lost", "与数据库的连接已断开"),
    ("the database cannot be reached", "无法连接数据库"),
    ("no connection to the database was free", "没有空闲的数据库连接"),
    ("the database gives no further connection", "数据库连接数已满"),
    (
        "other transactions kept changing the same rows",
        "其他事务持续修改相同的行",
    ),
    ("the tables are older than this program", "数据库表结构比程序旧"),
    ("the tables are newer than this program", "数据库表结构比程序新"),
    ("the database takes no writes", "数据库不接受写入"),
    (
        "the file of the database was moved away while it was open",
        "数据库文件在使用中被移走",
    ),
    ("the database cannot be used", "数据库无法使用"),
    ("the database has refused a duplicate", "数据库拒绝了重复的数据"),
    ("the database has not done this", "数据库没有完成该操作"),
    (
        "the database has refused a change; the log of {} says more",
        "数据库拒绝了修改，详情见 {0} 的日志",
    ),
    ("the body is longer than {} bytes", "内容超过 {0} 字节"),
    ("the body must be {}, in UTF-8", "内容类型必须是 UTF-8 的 {0}"),
    (
        "{} is {}: provided string was not `true` or `false`",
        "参数 {0} 为 {1}，应为 true 或 false",
    ),
    ("{} is {}: invalid digit found in string", "参数 {0} 为 {1}，应为数字"),
    ("{} is {}: {}", "参数 {0} 为 {1}：{2:fault}"),
    ("{} is {}, expected {}", "{0} 为 {1}，应为{2:fault}"),
    ("expected none, capped or exact", "应为 none、capped 或 exact"),
    ("expected all", "应为 all"),
    ("none or exact", " none 或 exact"),
    (
        "unknown bulk action {}, expected one of {}",
        "未知的操作 {0}，应为 {1} 之一",
    ),
];
