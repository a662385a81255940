#define KM_TEST_NAME "build_id"
#include "../cm.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/probe/build_id.h"

struct image {
    Elf64_Ehdr header;
    Elf64_Phdr segments[2];
    Elf64_Nhdr other;
    char other_name[4];
    char other_text[8];
    Elf64_Nhdr note;
    char name[4];
    uint8_t text[20];
};

static struct image good(void)
{
    struct image image = {0};
    memcpy(image.header.e_ident, ELFMAG, SELFMAG);
    image.header.e_ident[EI_CLASS] = ELFCLASS64;
    image.header.e_phentsize = sizeof(Elf64_Phdr);
    image.header.e_phnum = 2;
    image.header.e_phoff = offsetof(struct image, segments);
    image.segments[0].p_type = PT_LOAD;
    image.segments[1].p_type = PT_NOTE;
    image.segments[1].p_offset = offsetof(struct image, other);
    image.segments[1].p_filesz = sizeof image - offsetof(struct image, other);
    image.other = (Elf64_Nhdr){4, 7, 1};
    memcpy(image.other_name, "GNU", 4);
    image.note = (Elf64_Nhdr){4, 20, NT_GNU_BUILD_ID};
    memcpy(image.name, "GNU", 4);
    memset(image.text, 0xab, sizeof image.text);
    return image;
}

static size_t read_image(const struct image *image, size_t bytes, uint8_t *out)
{
    int fd = memfd_create("image", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, image, bytes), bytes);
    size_t length = km_build_id_read(fd, out);
    close(fd);
    return length;
}

static void finds_the_note(void **state)
{
    (void)state;
    struct image image = good();
    uint8_t out[KM_EVENT_BUILD_ID_BYTES] = {0};
    assert_int_equal(read_image(&image, sizeof image, out), 20);
    assert_memory_equal(out, image.text, 20);
    image.note.n_descsz = 8;
    assert_int_equal(read_image(&image, sizeof image, out), 8);
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    assert_true(km_build_id_read(fd, out) <= 20);
    close(fd);
}

static void broken_files_have_none(void **state)
{
    (void)state;
    uint8_t out[KM_EVENT_BUILD_ID_BYTES];
    struct image image = good();
    for (size_t bytes = 0; bytes < offsetof(struct image, text) + 20; bytes += 7)
        assert_int_equal(read_image(&image, bytes, out), 0);
    image.note.n_namesz = UINT32_MAX;
    assert_int_equal(read_image(&image, sizeof image, out), 0);
    image = good();
    image.other.n_descsz = UINT32_MAX;
    assert_int_equal(read_image(&image, sizeof image, out), 0);
    image = good();
    image.segments[1].p_offset = UINT64_MAX;
    assert_int_equal(read_image(&image, sizeof image, out), 0);
    image = good();
    image.header.e_phoff = UINT64_MAX;
    assert_int_equal(read_image(&image, sizeof image, out), 0);
    image = good();
    image.header.e_ident[EI_CLASS] = ELFCLASS32;
    assert_int_equal(read_image(&image, sizeof image, out), 0);
    image = good();
    memcpy(image.name, "XNU", 4);
    assert_int_equal(read_image(&image, sizeof image, out), 0);
    assert_int_equal(km_build_id_read(-1, out), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_note),
        cmocka_unit_test(broken_files_have_none),
    };
    return KM_RUN_TESTS(tests);
}
