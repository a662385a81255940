#define KM_TEST_NAME "imagelist"
#include "../cm.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "container/source/imagelist.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* Expects rows "name=reference" or "name!part of the error", one a line. */
static void expect(const char *yaml, const char *rows)
{
    struct km_err err = KM_ERR_INIT;
    struct km_imagelist *list = km_imagelist_parse(yaml, strlen(yaml), &err);
    if (!list)
        fail_msg("%s: %s", yaml, err.text);
    size_t i = 0;
    char copy[2048];
    assert_true((size_t)snprintf(copy, sizeof copy, "%s", rows) < sizeof copy);
    char *rest = NULL;
    for (char *line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest), i++) {
        if (i >= km_imagelist_count(list))
            fail_msg("no row %zu: %s", i, line);
        const struct km_imagelist_row *row = km_imagelist_row(list, i);
        size_t name = strcspn(line, "=!");
        bool is_error = line[name] == '!';
        line[name] = '\0';
        assert_string_equal(row->name, line);
        assert_true((row->reference == NULL) == is_error && (row->error == NULL) == !is_error);
        if (row->reference)
            assert_string_equal(row->reference, line + name + 1);
        else if (row->error && !strstr(row->error, line + name + 1))
            fail_msg("'%s', expected '%s'", row->error, line + name + 1);
    }
    assert_int_equal(km_imagelist_count(list), i);
    km_imagelist_free(list);
}

static void refuse(const char *yaml, enum km_code code)
{
    struct km_err err = KM_ERR_INIT;
    if (km_imagelist_parse(yaml, strlen(yaml), &err))
        fail_msg("accepted: %s", yaml);
    assert_int_equal(err.code, code);
    assert_true(err.text[0] != '\0');
}

static void compose_gives_a_row_for_every_service(void **state)
{
    (void)state;
    expect("services:\n"
           "  web: {image: 'registry:5000/x:1'}\n"
           "  db: {image: postgres@sha256:" HEX64 "}\n"
           "  app: {build: .}\n"
           "  both: {build: ., image: app}\n"
           "  child: {extends: {service: web}}\n"
           "  odd: {image: 12}\n"
           "  none: {}\n"
           "  null:\n",
           "web=registry:5000/x:1\n"
           "db=postgres@sha256:" HEX64 "\n"
           "app!is built from source\n"
           "both=app:latest\n"
           "child!(extends)\n"
           "odd!is no text\n"
           "none!names no image\n"
           "null!names no image\n");
    expect("include: [other.yaml]\nservices: {a: {image: b}}", "include!are not read\na=b:latest");
}

static void compose_variables(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"x:${TAG:-1.2}", "=x:1.2"},
        {"x:${TAG-1.2}", "=x:1.2"},
        {"${R:-r.io}/x:${TAG:-1}", "=r.io/x:1"},
        {"x:${A:-${B:-3}}", "=x:3"},
        {"x${T:+:never}", "=x:latest"},
        {"x:${TAG}", "!needs the variable TAG"},
        {"x:${TAG:?set it}", "!needs the variable TAG"},
        {"x:$TAG", "!needs the variable $TAG"},
        {"x:${TAG", "!needs the variable ${TAG"},
        {"${A:-x}:${B}", "!needs the variable B"},
        {"${TAG:-}", "!is no image reference"},
        {"x:$$TAG", "!has no valid tag"},
        {"x:{{ .tag }}", "!has no valid tag"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char yaml[256], expected[256];
        (void)snprintf(yaml, sizeof yaml, "services: {a: {image: '%s'}}", rows[i][0]);
        (void)snprintf(expected, sizeof expected, "a%s", rows[i][1]);
        expect(yaml, expected);
    }
}

static void too_many_variables_end(void **state)
{
    (void)state;
    char yaml[1024] = "services: {a: {image: \"";
    for (unsigned i = 0; i < 40; i++)
        (void)strncat(yaml, "${A:-x}", sizeof yaml - strlen(yaml) - 1);
    (void)strncat(yaml, "\"}}", sizeof yaml - strlen(yaml) - 1);
    expect(yaml, "a!has more than 32 variables");
}

static void helm_values_at_any_depth(void **state)
{
    (void)state;
    expect("image: {repository: app, tag: v1, pullPolicy: Always}\n"
           "web:\n  image: nginx\n"
           "a: {b: {image: {registry: r.io, repository: x/y, tag: 1.10}}}\n"
           "pinned: {image: {repository: p, tag: v2, digest: 'sha256:" HEX64 "'}}\n"
           "list:\n- image: one\n- {image: {repository: two}}\n"
           "initImage: {repository: init, tag: 3}\n"
           "backgroundImage: picture.png\n"
           "source: {repository: 'https://example.org/x.git', tag: v1}\n"
           "exporter: {repository: e, pullPolicy: Always}\n"
           "replicas: 2\n",
           "image=app:v1\n"
           "web=nginx:latest\n"
           "a.b=r.io/x/y:1.1\n" /* an unquoted number, as Helm prints it */
           "pinned=p@sha256:" HEX64 "\n"
           "list.0=one:latest\n"
           "list.1=two:latest\n"
           "initImage=init:3\n"
           "exporter=e:latest\n");
    expect("image:\n  server: {repository: s, tag: ''}\n  client: {repository: c}\n",
           "image.server=s:latest\nimage.client=c:latest");
}

static void helm_values_that_name_no_image_are_errors(void **state)
{
    (void)state;
    expect(
        "a: {image: ''}\nb: {image: {tag: v1}}\nc: {image: {repository: ''}}\nd: {image: {repository: x, tag: [1]}}\n"
        "e: {image: 'Not A Reference'}\nf: {image: ~}\ng: {image: x}",
        "a!names no image\nb!names no repository\nc!names no repository\nd!is no text and no number\n"
        "e!is no image reference\ng=x:latest");
}

static void kubernetes_documents(void **state)
{
    (void)state;
    expect("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n"
           "spec: {template: {spec: {initContainers: [{name: i, image: init:1}],\n"
           "  containers: [{name: c, image: r:5000/web}, {name: broken}],\n"
           "  ephemeralContainers: [{image: debug}]}}}\n"
           "---\n"
           "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
           "---\n"
           "apiVersion: v1\nkind: List\nitems:\n"
           "- {apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {containers: [{name: c, image: job}]}}\n"
           "---\n"
           "apiVersion: x.io/v1\nkind: Prometheus\nspec: {image: prom:2}\n",
           "Deployment/web/i=init:1\n"
           "Deployment/web/c=r:5000/web:latest\n"
           "Deployment/web/broken!names no image\n"
           "Deployment/web/?=debug:latest\n"
           "Job/j/c=job:latest\n"
           "spec=prom:2\n");
}

static void files_without_images_are_refused(void **state)
{
    (void)state;
    refuse("", KM_FORMAT);
    refuse("just text", KM_FORMAT);
    refuse("a: {b: [1, 2]}", KM_FORMAT);
    refuse("services: {}", KM_FORMAT);
    refuse("services: [", KM_FORMAT);
    refuse("apiVersion: v1\nkind: Service\n", KM_FORMAT);
    refuse("services: {a: {image: x}}\n---\na: [", KM_FORMAT); /* all or nothing */
}

static void sizes_are_limited(void **state)
{
    (void)state;
    size_t bytes = KM_IMAGELIST_MAX_BYTES + 1;
    char *text = malloc(bytes + 1);
    assert_non_null(text);
    memset(text, ' ', bytes);
    text[bytes] = '\0';
    refuse(text, KM_LIMIT);
    size_t used = (size_t)sprintf(text, "a:\n");
    for (size_t i = 0; i <= KM_IMAGELIST_MAX_ROWS; i++)
        used += (size_t)sprintf(text + used, "- {image: x}\n");
    refuse(text, KM_LIMIT);
    free(text);
}

static void long_names_are_cut_not_overrun(void **state)
{
    (void)state;
    char *text = malloc(100000);
    assert_non_null(text);
    size_t used = 0;
    for (unsigned i = 0; i < 60; i++) {
        text[used++] = '{';
        memset(text + used, 'k', 900);
        used += 900;
        text[used++] = ':';
        text[used++] = ' ';
    }
    used += (size_t)sprintf(text + used, "{image: x}");
    memset(text + used, '}', 60);
    struct km_err err = KM_ERR_INIT;
    struct km_imagelist *list = km_imagelist_parse(text, used + 60, &err);
    if (!list)
        fail_msg("%s", err.text);
    assert_int_equal(km_imagelist_count(list), 1);
    assert_string_equal(km_imagelist_row(list, 0)->reference, "x:latest");
    km_imagelist_free(list);
    km_imagelist_free(NULL);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compose_gives_a_row_for_every_service),
        cmocka_unit_test(compose_variables),
        cmocka_unit_test(too_many_variables_end),
        cmocka_unit_test(helm_values_at_any_depth),
        cmocka_unit_test(helm_values_that_name_no_image_are_errors),
        cmocka_unit_test(kubernetes_documents),
        cmocka_unit_test(files_without_images_are_refused),
        cmocka_unit_test(sizes_are_limited),
        cmocka_unit_test(long_names_are_cut_not_overrun),
    };
    return KM_RUN_TESTS(tests);
}
