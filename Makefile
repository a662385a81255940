# Habits over Meson; each target installs what it needs (tools/install-deps) and says what it does.
BUILD ?= build
MESON_FLAGS ?=

BENCHES = bench-source bench-render bench-scan bench-nn bench-tokens bench-daemon bench-guard bench-desk bench-detect bench-pilot

.PHONY: all demo check check-quick bench $(BENCHES) format clean install deps-build deps-demo deps-test deps-bench

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet

$(BUILD)/build.ninja: | deps-build
	@meson setup $(BUILD) $(MESON_FLAGS) >$(BUILD).setup.log 2>&1 || { cat $(BUILD).setup.log; rm -f $(BUILD).setup.log; exit 1; }
	@rm -f $(BUILD).setup.log

deps-build deps-demo deps-test deps-bench:
	@tools/install-deps $(@:deps-%=%)

# A clean and a changed container image, scanned: reports and pictures in demo-out/.
demo: deps-build deps-demo
	@$(MAKE) --no-print-directory all
	@tools/demo $(BUILD)/komainu demo-out

# Everything a user can check, in 15 minutes: unit, command line, corpora of the fuzz targets, real engines, layers.
check: deps-build deps-test
	@tools/check-layers
	@meson setup --reconfigure $(BUILD) $(MESON_FLAGS) >/dev/null 2>&1 || meson setup $(BUILD) $(MESON_FLAGS)
	@ninja -C $(BUILD) --quiet
	@meson test -C $(BUILD) --no-rebuild --quiet >/dev/null 2>&1; tools/test-summary $(BUILD)/meson-logs/testlog.json

# The part that needs no engines and no root.
check-quick: all
	@tools/check-layers
	@meson test -C $(BUILD) --quiet --no-suite integration >/dev/null 2>&1; tools/test-summary $(BUILD)/meson-logs/testlog.json

bench: $(BENCHES)

$(BENCHES): deps-build deps-bench
	@$(MAKE) --no-print-directory all
	@tools/bench-json $(BUILD)/$@.json bench/$(subst -,_,$@) $(BUILD)

format:
	@git ls-files 'src/*.[ch]' 'tests/*.[ch]' 'bench/*.[ch]' | xargs clang-format -i

install: all
	@meson install -C $(BUILD)

clean:
	@rm -rf $(BUILD)
