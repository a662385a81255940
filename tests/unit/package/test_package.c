#define KM_TEST_NAME "package"
#include "../cm.h"

#include <stdio.h>

#include "image.h"

static const struct text small[] = {
    {STATUS,
     STANZA("tool", INSTALLED) "Source: toolsrc (1.0)\nEssential: yes\nConffiles:\n /etc/tool.conf " MD5_A
                               "\n /etc/old tool.conf " MD5_B " obsolete\n /etc/fresh newconffile\nDescription: a\n .\n"
                               " more: text\n\n" STANZA(
                                   "gone", "deinstall ok config-files") "Conffiles:\n /etc/gone " MD5_A
                                                                        "\n\n" STANZA("never",
                                                                                      "purge ok not-installed"),
     0},
    {INFO("tool.list"),
     "/.\n/usr\n/usr/bin\n/usr/bin/tool\n/usr/share/tool/data\n/etc/tool.conf\n/etc/old tool.conf\n/etc/extra.conf\n",
     0},
    {INFO("tool.md5sums"), MD5_A "  usr/bin/tool\n", 0},
    {INFO("tool.conffiles"), "/etc/tool.conf\n/etc/extra.conf\nremove-on-upgrade /etc/dropped\n", 0},
    {INFO("gone.list"), "/.\n/usr/bin/gone\n/etc/gone\n", 0},
    {INFO("never.list"), "/usr/bin/never\n", 0},
    {INFO("stranger.list"), "/usr/bin/stranger\n", 0},
    NO_MORE,
};

static void wants_the_database_files_only(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum km_package_file_kind kind;
    } table[] = {
        {STATUS, KM_PACKAGE_FILE_STATUS},
        {"/" STATUS, KM_PACKAGE_FILE_STATUS},
        {"var/lib/dpkg/status-old", KM_PACKAGE_FILE_NONE},
        {"x/var/lib/dpkg/status", KM_PACKAGE_FILE_NONE},
        {DIVERSIONS, KM_PACKAGE_FILE_DIVERSIONS},
        {INFO("a.list"), KM_PACKAGE_FILE_LIST},
        {INFO("libc6:amd64.md5sums"), KM_PACKAGE_FILE_SUMS},
        {INFO("a.conffiles"), KM_PACKAGE_FILE_CONFFILES},
        {INFO("a.postinst"), KM_PACKAGE_FILE_NONE},
        {INFO(".list"), KM_PACKAGE_FILE_NONE},
        {INFO("deep/a.list"), KM_PACKAGE_FILE_NONE},
        {PART("libssl1"), KM_PACKAGE_FILE_PART},
        {PART("libssl1.md5sums"), KM_PACKAGE_FILE_PART_SUMS},
        {"var/lib/dpkg/alternatives/awk", KM_PACKAGE_FILE_ALTERNATIVE},
        {"var/lib/dpkg/triggers/File", KM_PACKAGE_FILE_NONE},
        {"", KM_PACKAGE_FILE_NONE},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        assert_int_equal(km_package_wants(table[i].path), table[i].kind);
}

struct expectation {
    const char *path;
    const uint8_t *md5;
    enum km_package_state state;
    const char *package; /* NULL: none */
};

static void check_states(const struct km_package_view *view, const struct expectation *table)
{
    for (; table->path; table++) {
        struct km_package_match match;
        km_package_find(view, table->path, table->md5, &match);
        if (match.state != table->state)
            fail_msg("%s is %s", table->path, km_package_state_to_string(match.state));
        if (!table->package)
            assert_null(match.package);
        else
            assert_string_equal(match.package->name, table->package);
    }
}

static const uint8_t md5_zero[16];

static const struct expectation small_states[] = {
    {"usr/bin/tool", md5_a, KM_PACKAGE_INTACT, "tool"},
    {"/usr/bin/tool", md5_a, KM_PACKAGE_INTACT, "tool"},
    {"usr/bin/tool", md5_zero, KM_PACKAGE_CHANGED, "tool"},
    {"usr/bin/tool", NULL, KM_PACKAGE_UNCHECKED, "tool"},
    {"usr/share/tool/data", md5_a, KM_PACKAGE_UNCHECKED, "tool"},
    {"etc/tool.conf", md5_a, KM_PACKAGE_INTACT, "tool"},
    {"etc/tool.conf", md5_zero, KM_PACKAGE_CONFFILE, "tool"},
    {"etc/tool.conf", NULL, KM_PACKAGE_CONFFILE, "tool"},
    {"etc/old tool.conf", md5_a, KM_PACKAGE_CONFFILE, "tool"},
    {"etc/fresh", md5_a, KM_PACKAGE_CONFFILE, "tool"},
    {"etc/extra.conf", md5_a, KM_PACKAGE_CONFFILE, "tool"},
    {"etc/dropped", md5_a, KM_PACKAGE_UNOWNED, NULL},
    {"etc/gone", md5_a, KM_PACKAGE_INTACT, "gone"},
    {"usr/bin/gone", md5_a, KM_PACKAGE_UNOWNED, NULL}, /* removed: only its conffiles are left */
    {"usr/bin/never", md5_a, KM_PACKAGE_UNOWNED, NULL},
    {"usr/bin/stranger", md5_a, KM_PACKAGE_UNOWNED, NULL}, /* a list alone makes no package */
    {"bin/tool", md5_a, KM_PACKAGE_UNOWNED, NULL},         /* no merged /usr here */
    {"usr/bin/tool2", md5_a, KM_PACKAGE_UNOWNED, NULL},
    {"usr/bin/too", md5_a, KM_PACKAGE_UNOWNED, NULL},
    {NULL, NULL, KM_PACKAGE_UNOWNED, NULL},
};

static void states_of_a_small_system(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = view_of(small, 0, false, &err);
    assert_non_null(view);
    check_states(view, small_states);
    struct km_package_match match;
    km_package_find(view, "etc/old tool.conf", NULL, &match);
    assert_true(match.conffile && match.obsolete && !match.diverted);
    struct km_package_summary summary;
    km_package_view_summarize(view, &summary);
    assert_int_equal(summary.usability, KM_PACKAGE_USABLE);
    assert_string_equal(summary.reason, "");
    assert_int_equal(summary.packages, 1);
    assert_int_equal(summary.packages_bare, 0);
    assert_int_equal(summary.unmatched, 2);
    assert_int_equal(summary.damaged_details, 0);
}

static void packages_have_their_fields(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = view_of(small, 0, false, &err);
    assert_non_null(view);
    assert_int_equal(km_package_view_count(view), 3);
    const struct km_package_info *tool = km_package_view_at(view, 0);
    assert_string_equal(tool->name, "tool");
    assert_string_equal(tool->version, "1.0-1");
    assert_string_equal(tool->architecture, "amd64");
    assert_string_equal(tool->source, "toolsrc");
    assert_int_equal(tool->install, KM_PACKAGE_INSTALLED);
    assert_true(tool->essential);
    const struct km_package_info *gone = km_package_view_at(view, 1);
    assert_string_equal(gone->source, "gone");
    assert_int_equal(gone->install, KM_PACKAGE_CONFIG);
    assert_false(gone->essential);
    assert_int_equal(km_package_view_at(view, 2)->install, KM_PACKAGE_REMOVED);
}

static void chunks_do_not_matter(void **state)
{
    (void)state;
    for (size_t chunk = 1; chunk < 40; chunk++) {
        struct km_err err = KM_ERR_INIT;
        KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = view_of(small, chunk, false, &err);
        assert_non_null(view);
        check_states(view, small_states);
    }
}

static void order_does_not_matter(void **state)
{
    (void)state;
    size_t count = sizeof small / sizeof small[0] - 1;
    for (size_t turn = 0; turn < count; turn++) {
        struct text turned[sizeof small / sizeof small[0]] = {NO_MORE};
        for (size_t i = 0; i < count; i++)
            turned[i] = small[(count - 1 - i + turn) % count];
        struct km_err err = KM_ERR_INIT;
        KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = view_of(turned, 0, false, &err);
        assert_non_null(view);
        check_states(view, small_states);
    }
}

static void every_installed_state_owns(void **state)
{
    (void)state;
    static const struct {
        const char *status;
        enum km_package_state state;
    } table[] = {
        {STANZA("p", "install ok installed"), KM_PACKAGE_INTACT},
        {STANZA("p", "hold ok installed"), KM_PACKAGE_INTACT},
        {STANZA("p", "install reinstreq half-installed"), KM_PACKAGE_INTACT},
        {STANZA("p", "install ok unpacked"), KM_PACKAGE_INTACT},
        {STANZA("p", "install ok half-configured"), KM_PACKAGE_INTACT},
        {STANZA("p", "install ok triggers-awaited"), KM_PACKAGE_INTACT},
        {STANZA("p", "install ok triggers-pending"), KM_PACKAGE_INTACT},
        {STANZA("p", "deinstall ok installed"), KM_PACKAGE_INTACT},
        {STANZA("p", "deinstall ok config-files"), KM_PACKAGE_UNOWNED},
        {STANZA("p", "purge ok not-installed"), KM_PACKAGE_UNOWNED},
        {"Package: p\nVersion: 1\n", KM_PACKAGE_UNOWNED}, /* no Status: not installed */
        {"package:p\nSTATUS:install ok installed\n", KM_PACKAGE_INTACT},
        {"Package: p\r\nStatus: install ok installed\r\n\r\n", KM_PACKAGE_INTACT},
        {"Package: p\nStatus: install ok installed", KM_PACKAGE_INTACT}, /* no final newline */
        {"\n\n\nPackage: p\nStatus: install ok installed\n\n\n", KM_PACKAGE_INTACT},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char status[1024];
        snprintf(status, sizeof status, "%s\n%s", STANZA("other", INSTALLED), table[i].status);
        const struct text texts[] = {
            {STATUS, status, 0},
            {INFO("other.list"), "/usr/other\n", 0},
            {INFO("p.list"), "/usr/f\n", 0},
            {INFO("p.md5sums"), MD5_A "  usr/f\n", 0},
            NO_MORE,
        };
        struct km_err err = KM_ERR_INIT;
        KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = view_of(texts, 0, false, &err);
        assert_non_null(view);
        if (state_of(view, "usr/f", md5_a) != table[i].state)
            fail_msg("%s: %s", table[i].status, km_package_state_to_string(state_of(view, "usr/f", md5_a)));
    }
}

static void a_merged_usr_joins_both_names(void **state)
{
    (void)state;
    static const struct text texts[] = {
        {STATUS, STANZA("p", INSTALLED), 0},
        {INFO("p.list"), "/bin/old\n/usr/bin/new\n/lib64/ld\n/sbin/s\n/usr/bin\n/bin\n", 0},
        {INFO("p.md5sums"), MD5_A "  bin/old\n" MD5_A "  usr/bin/new\n" MD5_A "  lib64/ld\n" MD5_A "  sbin/s\n", 0},
        NO_MORE,
    };
    static const struct {
        const char *path;
        enum km_package_state merged, separate;
    } table[] = {
        {"bin/old", KM_PACKAGE_INTACT, KM_PACKAGE_INTACT},
        {"usr/bin/old", KM_PACKAGE_INTACT, KM_PACKAGE_UNOWNED},
        {"usr/bin/new", KM_PACKAGE_INTACT, KM_PACKAGE_INTACT},
        {"bin/new", KM_PACKAGE_INTACT, KM_PACKAGE_UNOWNED},
        {"usr/lib64/ld", KM_PACKAGE_INTACT, KM_PACKAGE_UNOWNED},
        {"sbin/s", KM_PACKAGE_INTACT, KM_PACKAGE_INTACT},
        {"usr/sbin/s", KM_PACKAGE_UNOWNED, KM_PACKAGE_UNOWNED}, /* view_of links bin and lib64 only */
        {"usr/lib/ld", KM_PACKAGE_UNOWNED, KM_PACKAGE_UNOWNED},
        {"old", KM_PACKAGE_UNOWNED, KM_PACKAGE_UNOWNED},
        {"usr/old", KM_PACKAGE_UNOWNED, KM_PACKAGE_UNOWNED},
        {"usr/usr/bin/new", KM_PACKAGE_UNOWNED, KM_PACKAGE_UNOWNED},
    };
    struct km_err err = KM_ERR_INIT;
    KM_CLEANUP(km_package_view_cleanup) struct km_package_view *merged = view_of(texts, 0, true, &err);
    KM_CLEANUP(km_package_view_cleanup) struct km_package_view *separate = view_of(texts, 0, false, &err);
    assert_non_null(merged);
    assert_non_null(separate);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (state_of(merged, table[i].path, md5_a) != table[i].merged)
            fail_msg("merged: %s", table[i].path);
        if (state_of(separate, table[i].path, md5_a) != table[i].separate)
            fail_msg("separate: %s", table[i].path);
    }
}

static void foreign_links_are_no_aliases(void **state)
{
    (void)state;
    static const char *const links[][2] = {
        {"bin", "usr/sbin"},    {"bin", "opt/bin"}, {"opt", "usr/opt"},
        {"usr/bin", "usr/bin"}, {"bin", ""},        {"bin", "usr/"},
    };
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
        struct km_err err = KM_ERR_INIT;
        KM_CLEANUP(km_package_db_cleanup) struct km_package_db *db = km_package_db_new(1 << 20, &err);
        assert_non_null(db);
        static const struct text texts[] = {{STATUS, STANZA("p", INSTALLED), 0}, {INFO("p.list"), "/bin/x\n", 0}};
        for (size_t n = 0; n < 2; n++) {
            struct km_package_file *file = feed_text(db, &texts[n], 0, &err);
            assert_non_null(file);
            km_package_db_select(db, file);
        }
        km_package_db_add_alias(db, links[i][0], links[i][1]);
        KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = km_package_db_finish(db, &err);
        assert_non_null(view);
        assert_int_equal(state_of(view, "usr/bin/x", NULL), KM_PACKAGE_UNOWNED);
    }
}

static void architectures_are_kept_apart(void **state)
{
    (void)state;
    static const struct text texts[] = {
        {STATUS,
         "Package: lib\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n"
         "Package: lib\nStatus: install ok installed\nArchitecture: i386\nVersion: 2\n\n"
         "Package: lib\nStatus: deinstall ok config-files\nArchitecture: arm64\n",
         0},
        {INFO("lib:amd64.list"), "/usr/lib/x86/l\n/usr/share/doc/lib\n", 0},
        {INFO("lib:i386.list"), "/usr/lib/i386/l\n/usr/share/doc/lib\n", 0},
        {INFO("lib:arm64.list"), "/usr/lib/arm/l\n", 0},
        {INFO("lib:riscv64.list"), "/usr/lib/riscv/l\n", 0},
        NO_MORE,
    };
    struct km_err err = KM_ERR_INIT;
    KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = view_of(texts, 0, false, &err);
    assert_non_null(view);
    struct km_package_match match;
    km_package_find(view, "usr/lib/x86/l", NULL, &match);
    assert_string_equal(match.package->architecture, "amd64");
    km_package_find(view, "usr/lib/i386/l", NULL, &match);
    assert_string_equal(match.package->version, "2");
    assert_int_equal(state_of(view, "usr/lib/arm/l", NULL), KM_PACKAGE_UNOWNED);
    assert_int_equal(state_of(view, "usr/lib/riscv/l", NULL), KM_PACKAGE_UNOWNED);
    assert_int_equal(state_of(view, "usr/share/doc/lib", NULL), KM_PACKAGE_UNCHECKED);
}

static void parts_of_distroless_images_own(void **state)
{
    (void)state;
    static const struct text texts[] = {
        {PART("libssl1"), "Package: libssl1.1\nVersion: 1.1.1\nArchitecture: amd64\n", 0}, /* name cut, no Status */
        {PART("libssl1.md5sums"), MD5_A "  usr/lib/libssl.so\n", 0},
        {PART("tzdata"), "Package: tzdata\n", 0},
        NO_MORE,
    };
    struct km_err err = KM_ERR_INIT;
    KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = view_of(texts, 0, false, &err);
    assert_non_null(view);
    struct km_package_match match;
    km_package_find(view, "usr/lib/libssl.so", md5_a, &match);
    assert_int_equal(match.state, KM_PACKAGE_INTACT);
    assert_string_equal(match.package->name, "libssl1.1");
    struct km_package_summary summary;
    km_package_view_summarize(view, &summary);
    assert_int_equal(summary.packages, 2);
    assert_int_equal(summary.packages_bare, 1);
}

static void diversions_move_files_of_other_packages(void **state)
{
    (void)state;
    static const struct text texts[] = {
        {STATUS, STANZA("victim", INSTALLED) "\n" STANZA("taker", INSTALLED), 0},
        {INFO("victim.list"), "/usr/bin/x\n/usr/bin/y\n/usr/bin/z\n", 0},
        {INFO("victim.md5sums"), MD5_A "  usr/bin/x\n" MD5_A "  usr/bin/y\n" MD5_A "  usr/bin/z\n", 0},
        {INFO("taker.list"), "/usr/bin/x\n", 0},
        {INFO("taker.md5sums"), MD5_B "  usr/bin/x\n", 0},
        {DIVERSIONS,
         "/usr/bin/x\n/usr/bin/x.real\ntaker\n/usr/bin/y\n/usr/bin/y.local\n:\n/usr/bin/z\n/usr/bin/z.own\nvictim\n",
         0},
        NO_MORE,
    };
    struct km_err err = KM_ERR_INIT;
    KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = view_of(texts, 0, false, &err);
    assert_non_null(view);
    static const struct expectation table[] = {
        {"usr/bin/x", md5_a, KM_PACKAGE_CHANGED, "taker"}, /* the victim's checksum does not count here */
        {"usr/bin/x.real", md5_a, KM_PACKAGE_INTACT, "victim"},
        {"usr/bin/x.real", md5_zero, KM_PACKAGE_CHANGED, "victim"},
        {"usr/bin/y", md5_a, KM_PACKAGE_DIVERTED, "victim"},
        {"usr/bin/y.local", md5_a, KM_PACKAGE_INTACT, "victim"},
        {"usr/bin/z", md5_a, KM_PACKAGE_INTACT, "victim"}, /* its own diversion does not move it */
        {"usr/bin/z.own", md5_a, KM_PACKAGE_UNOWNED, NULL},
        {NULL, NULL, KM_PACKAGE_UNOWNED, NULL},
    };
    check_states(view, table);
    struct km_package_match match;
    km_package_find(view, "usr/bin/x.real", md5_a, &match);
    assert_true(match.diverted);
    km_package_find(view, "usr/bin/x", md5_a, &match);
    assert_false(match.diverted);
}

/* As dpkg does it: the name decides, not the file that a merged /usr makes of two names. */
static void diversions_compare_names_as_written(void **state)
{
    (void)state;
    static const struct text texts[] = {
        {STATUS, STANZA("old", INSTALLED) "\n" STANZA("new", INSTALLED), 0},
        {INFO("old.list"), "/bin/x\n/bin/y\n", 0},
        {INFO("old.md5sums"), MD5_A "  bin/x\n" MD5_A "  bin/y\n", 0},
        {INFO("new.list"), "/usr/bin/x\n", 0},
        {INFO("new.md5sums"), MD5_A "  usr/bin/x\n", 0},
        {DIVERSIONS, "/bin/x\n/bin/x.moved\n:\n/usr/bin/y\n/usr/bin/y.moved\n:\n", 0},
        NO_MORE,
    };
    static const struct expectation table[] = {
        {"usr/bin/x", md5_a, KM_PACKAGE_INTACT, "new"},       {"bin/x.moved", md5_a, KM_PACKAGE_INTACT, "old"},
        {"usr/bin/x.moved", md5_a, KM_PACKAGE_INTACT, "old"}, {"usr/bin/y", md5_a, KM_PACKAGE_INTACT, "old"},
        {"usr/bin/y.moved", md5_a, KM_PACKAGE_UNOWNED, NULL}, {NULL, NULL, KM_PACKAGE_UNOWNED, NULL},
    };
    struct km_err err = KM_ERR_INIT;
    KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = view_of(texts, 0, true, &err);
    assert_non_null(view);
    check_states(view, table);
}

static void lists_and_checksums_share_entries(void **state)
{
    (void)state;
    static const struct text texts[] = {
        {STATUS, STANZA("p", INSTALLED), 0},
        {INFO("p.list"), "/usr/bin/x\n/bin/y\n/opt/z\n", 0},
        {INFO("p.md5sums"), MD5_A "  usr/bin/x\n" MD5_A "  bin/y\n" MD5_A "  opt/z\n", 0},
        NO_MORE,
    };
    for (int merged = 0; merged < 2; merged++) {
        struct km_err err = KM_ERR_INIT;
        KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = view_of(texts, 0, merged, &err);
        assert_non_null(view);
        struct km_package_summary summary;
        km_package_view_summarize(view, &summary);
        assert_int_equal(summary.files, 3);
    }
}

static void maintainer_scripts_belong_to_their_package(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = view_of(small, 0, false, &err);
    assert_non_null(view);
    static const struct expectation table[] = {
        {INFO("tool.postinst"), md5_a, KM_PACKAGE_UNCHECKED, "tool"},
        {INFO("tool.list"), md5_a, KM_PACKAGE_UNCHECKED, "tool"},
        {INFO("gone.postrm"), md5_a, KM_PACKAGE_UNCHECKED, "gone"},
        {INFO("never.postinst"), md5_a, KM_PACKAGE_UNOWNED, NULL},
        {INFO("stranger.postinst"), md5_a, KM_PACKAGE_UNOWNED, NULL},
        {INFO("tool.payload"), md5_a, KM_PACKAGE_UNOWNED, NULL},
        {STATUS, md5_a, KM_PACKAGE_UNOWNED, NULL},
        {NULL, NULL, KM_PACKAGE_UNOWNED, NULL},
    };
    check_states(view, table);
}

static void alternatives_explain_links(void **state)
{
    (void)state;
    static const struct text texts[] = {
        {STATUS, STANZA("p", INSTALLED), 0},
        {INFO("p.list"), "/usr/bin/mawk\n", 0},
        {"var/lib/dpkg/alternatives/awk",
         "auto\n/usr/bin/awk\nawk.1.gz\n/usr/share/man/man1/awk.1.gz\n\n/usr/bin/mawk\n5\n/usr/share/man/mawk\n\n", 0},
        NO_MORE,
    };
    struct km_err err = KM_ERR_INIT;
    KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = view_of(texts, 0, true, &err);
    assert_non_null(view);
    assert_true(km_package_is_alternative(view, "usr/bin/awk"));
    assert_true(km_package_is_alternative(view, "bin/awk"));
    assert_true(km_package_is_alternative(view, "usr/share/man/man1/awk.1.gz"));
    assert_true(km_package_is_alternative(view, "etc/alternatives/awk"));
    assert_true(km_package_is_alternative(view, "etc/alternatives/awk.1.gz"));
    assert_false(km_package_is_alternative(view, "usr/bin/mawk")); /* a choice, no link */
    assert_false(km_package_is_alternative(view, "usr/share/man/mawk"));
    assert_int_equal(state_of(view, "usr/bin/awk", md5_a), KM_PACKAGE_UNOWNED);
}

static void only_selected_files_count(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    KM_CLEANUP(km_package_db_cleanup) struct km_package_db *db = km_package_db_new(1 << 20, &err);
    assert_non_null(db);
    static const struct text texts[] = {
        {STATUS, "damaged, but of a lower layer\n", 0},
        {STATUS, STANZA("p", INSTALLED), 0},
        {INFO("p.list"), "/usr/bin/old\n", 0},
        {INFO("p.list"), "/usr/bin/new\n", 0},
    };
    for (size_t i = 0; i < 4; i++) {
        struct km_package_file *file = feed_text(db, &texts[i], 0, &err);
        assert_non_null(file);
        if (i % 2 == 1)
            km_package_db_select(db, file);
    }
    KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = km_package_db_finish(db, &err);
    assert_non_null(view);
    assert_int_equal(usability_of(view), KM_PACKAGE_USABLE);
    assert_int_equal(state_of(view, "usr/bin/new", NULL), KM_PACKAGE_UNCHECKED);
    assert_int_equal(state_of(view, "usr/bin/old", NULL), KM_PACKAGE_UNOWNED);
}

static void no_database_is_neutral(void **state)
{
    (void)state;
    static const struct text cases[][3] = {
        {NO_MORE},
        {{INFO("p.list"), "/usr/bin/x\n", 0}, NO_MORE},
        {{STATUS, "\n", 0}, NO_MORE},
        {{STATUS, STANZA("p", "purge ok not-installed"), 0}, {INFO("p.list"), "/usr/bin/x\n", 0}, NO_MORE},
        {{STATUS, STANZA("p", INSTALLED), 0}, NO_MORE},
        {{STATUS, STANZA("p", INSTALLED), 0}, {INFO("p.list"), "", 0}, NO_MORE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct km_err err = KM_ERR_INIT;
        KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = view_of(cases[i], 0, false, &err);
        assert_non_null(view);
        struct km_package_summary summary;
        km_package_view_summarize(view, &summary);
        assert_int_equal(summary.usability, KM_PACKAGE_ABSENT);
        assert_true(strlen(summary.reason) > 0);
        assert_int_equal(state_of(view, "usr/bin/x", md5_a), KM_PACKAGE_NO_DATABASE);
        assert_false(km_package_is_alternative(view, "usr/bin/x"));
    }
}

static void many_owners_are_counted_not_walked(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    KM_CLEANUP(km_package_db_cleanup) struct km_package_db *db = km_package_db_new(4 << 20, &err);
    assert_non_null(db);
    struct km_package_file *status = km_package_db_begin(db, STATUS, &err);
    assert_non_null(status);
    km_package_db_select(db, status);
    for (int i = 0; i < 200; i++) {
        char name[64], stanza[128];
        snprintf(name, sizeof name, INFO("p%d.list"), i);
        int n = snprintf(stanza, sizeof stanza, "Package: p%d\nStatus: install ok installed\n\n", i);
        assert_ok(km_package_file_feed(status, stanza, (size_t)n, &err), err);
        const struct text list = {name, "/usr\n/usr\n/usr\n", 0};
        struct km_package_file *file = feed_text(db, &list, 0, &err);
        assert_non_null(file);
        km_package_db_select(db, file);
    }
    assert_ok(km_package_file_end(status, true, &err), err);
    KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = km_package_db_finish(db, &err);
    assert_non_null(view);
    struct km_package_summary summary;
    km_package_view_summarize(view, &summary);
    assert_int_equal(summary.files, KM_PACKAGE_MAX_OWNERS);
    assert_int_equal(summary.owners_dropped, 3 * (200 - KM_PACKAGE_MAX_OWNERS));
    assert_int_equal(state_of(view, "usr", NULL), KM_PACKAGE_UNCHECKED);
}

static void the_strongest_owner_speaks(void **state)
{
    (void)state;
    static const struct text texts[] = {
        {STATUS, STANZA("a", INSTALLED) "\n" STANZA("b", INSTALLED) "\n" STANZA("c", INSTALLED), 0},
        {INFO("a.list"), "/f\n/g\n", 0},
        {INFO("b.list"), "/f\n/g\n", 0},
        {INFO("c.list"), "/f\n/g\n", 0},
        {INFO("a.md5sums"), MD5_A "  f\n", 0},
        {INFO("b.md5sums"), MD5_B "  f\n" MD5_B "  g\n", 0},
        NO_MORE,
    };
    struct km_err err = KM_ERR_INIT;
    KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = view_of(texts, 0, false, &err);
    assert_non_null(view);
    static const struct expectation table[] = {
        {"f", md5_a, KM_PACKAGE_INTACT, "a"},
        {"g", md5_a, KM_PACKAGE_CHANGED, "b"},
        {NULL, NULL, KM_PACKAGE_UNOWNED, NULL},
    };
    check_states(view, table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wants_the_database_files_only),
        cmocka_unit_test(states_of_a_small_system),
        cmocka_unit_test(packages_have_their_fields),
        cmocka_unit_test(chunks_do_not_matter),
        cmocka_unit_test(order_does_not_matter),
        cmocka_unit_test(every_installed_state_owns),
        cmocka_unit_test(a_merged_usr_joins_both_names),
        cmocka_unit_test(foreign_links_are_no_aliases),
        cmocka_unit_test(architectures_are_kept_apart),
        cmocka_unit_test(parts_of_distroless_images_own),
        cmocka_unit_test(diversions_move_files_of_other_packages),
        cmocka_unit_test(diversions_compare_names_as_written),
        cmocka_unit_test(lists_and_checksums_share_entries),
        cmocka_unit_test(maintainer_scripts_belong_to_their_package),
        cmocka_unit_test(alternatives_explain_links),
        cmocka_unit_test(only_selected_files_count),
        cmocka_unit_test(no_database_is_neutral),
        cmocka_unit_test(many_owners_are_counted_not_walked),
        cmocka_unit_test(the_strongest_owner_speaks),
    };
    return KM_RUN_TESTS(tests);
}
