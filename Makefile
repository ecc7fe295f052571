# SPDX-License-Identifier: Apache-2.0
# mod_devcache: GNU make, no configure step. `make help` names the targets.

APXS ?= apxs
JOBS ?= 2
ifeq ($(origin CC),default)
CC := gcc
endif
comma := ,

# --- sources ---------------------------------------------------------------------------
# A folder is core or glue as a whole. Glue talks to httpd; core links without it.
CORE_DIRS = base device http store flight stats purge tier
GLUE_DIRS = setup request watch
CORE  := $(sort $(wildcard devcache_*.c $(CORE_DIRS:%=%/*.c)))
GLUE  := $(sort $(wildcard mod_devcache.c $(GLUE_DIRS:%=%/*.c)))
SRC   := $(CORE) $(GLUE)
UNITS := $(patsubst t/unit/%.c,unit-%,$(sort $(wildcard t/unit/*.c))) \
         $(patsubst t/fuzz/%.c,replay-%,$(sort $(wildcard t/fuzz/*.c)))
FUZZ  := $(patsubst t/fuzz/%.c,fuzz-%,$(sort $(wildcard t/fuzz/*.c)))
CTL   := devcachectl $(patsubst tools/%.c,%,$(sort $(wildcard tools/ctl_*.c)))
BENCH := $(patsubst bench/%.c,%,$(sort $(wildcard bench/*.c)))

# --- flags -----------------------------------------------------------------------------
ifneq ($(shell command -v $(APXS) 2>/dev/null),)
apxs       := $(shell command -v $(APXS))
HTTPD_INC  := $(addprefix -I,$(shell $(APXS) -q INCLUDEDIR))
HTTPD_CPP  := $(shell $(APXS) -q EXTRA_CPPFLAGS)
HTTPD_CFL  := $(shell $(APXS) -q CFLAGS)
LIBEXECDIR := $(shell $(APXS) -q LIBEXECDIR)
SYSCONFDIR := $(shell $(APXS) -q SYSCONFDIR)
HTTPD      := $(shell $(APXS) -q SBINDIR)/$(shell $(APXS) -q PROGNAME)
apr_config := $(shell $(APXS) -q APR_CONFIG)
apu_config := $(shell $(APXS) -q APU_CONFIG)
APR_CPP    := $(shell $(apr_config) --includes --cppflags) \
              $(shell $(apu_config) --includes) $(shell pcre2-config --cflags)
LIBS       := $(shell $(apu_config) --link-ld) $(shell $(apr_config) --link-ld) \
              $(shell pcre2-config --libs8) -lxxhash -lhiredis -lssl -lcrypto -lz -pthread
endif

# The last one: APR's ring macros subtract NULL, which clang says at each use.
WARN = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
       -Wwrite-strings -Wno-unused-parameter -Wno-missing-field-initializers \
       -Wno-null-pointer-subtraction $(if $(WERROR),-Werror)

# SAN=address,undefined: the same targets, instrumented, in a folder of their own. The
# stock httpd is not instrumented, so the runtimes are preloaded into it by the tests.
ifdef SAN
ifneq ($(findstring clang,$(CC)),)
$(error SAN needs gcc: its runtimes can be preloaded into the stock httpd)
endif
lib_address   := libasan.so
lib_undefined := libubsan.so
lib_thread    := libtsan.so
PRELOAD := $(foreach s,$(subst $(comma), ,$(SAN)),$(realpath \
             $(shell $(CC) -print-file-name=$(lib_$s))))
BUILD := build-san
MODE  := -O1 -fno-omit-frame-pointer -fsanitize=$(SAN) -fno-sanitize-recover=all
else
BUILD := build
MODE  := -D_FORTIFY_SOURCE=2
endif

COMPILE = $(CC) -I. -I$(BUILD)/made -std=gnu11 -fPIC -pthread $(HTTPD_CPP) $(HTTPD_CFL) $(MODE) $(WARN) \
          $(APR_CPP) $(CPPFLAGS) $(CFLAGS)
DEPS    = -MMD -MP -MT $@ -MF $@.d
Q       = @mkdir -p $(@D); $(if $(V),set -x;,echo '  $(CC) $@';)
TESTING = -DDEVCACHE_TESTING
# Who calls whom is known when it is linked: no call and no table of ours goes by a detour that
# another library could bend. mod_devcache.c shows its record to httpd.
BIND    = -fvisibility=hidden -fno-plt

shipped := $(SRC:%.c=$(BUILD)/obj/%.o)
testing := $(SRC:%.c=$(BUILD)/testing/%.o)

# --- build -----------------------------------------------------------------------------
.PHONY: all units bench-programs test check test-apps check-apps fuzz demo show lint install uninstall clean help
.PHONY: FORCE
.DELETE_ON_ERROR:

all: $(BUILD)/mod_devcache.so $(BUILD)/devcachectl    ## the module and its tool
units: $(UNITS:%=$(BUILD)/%)
bench-programs: $(BENCH:%=$(BUILD)/bench-%) $(BUILD)/bench-mod_null.so

$(BUILD)/mod_devcache.so: $(shipped)
$(BUILD)/testing/mod_devcache.so: $(testing)
%/mod_devcache.so:
	$(Q)$(COMPILE) -shared -Wl,-z,relro,-z,now,-z,nodelete $(LDFLAGS) -o $@ $(filter %.o,$^) $(LIBS)

$(BUILD)/libdevcache.a: $(CORE:%.c=$(BUILD)/obj/%.o)
$(BUILD)/testing/libdevcache.a: $(CORE:%.c=$(BUILD)/testing/%.o)
%/libdevcache.a:
	@rm -f $@
	@$(AR) rcs $@ $^

# Only glue gets httpd's headers in its path: a core file that includes one fails here.
$(GLUE:%.c=$(BUILD)/obj/%.o) $(GLUE:%.c=$(BUILD)/testing/%.o): \
    private CPPFLAGS += $(HTTPD_INC)

# The status page's style sheet, as a C string.
$(foreach o,obj/watch/status_page.o testing/watch/status_page.o tidied-watch/status_page \
    analyzed-watch/status_page,$(BUILD)/$o): $(BUILD)/made/page_css.h
$(BUILD)/made/page_css.h: watch/page.css
	@mkdir -p $(@D); sed -e '/^\/\*/d' -e 's/["\]/\\&/g' -e 's/^ *\(.*\)$$/"\1\\n"/' $< >$@

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	$(Q)$(COMPILE) $(BIND) $(DEPS) -c -o $@ $<
$(BUILD)/testing/%.o: %.c $(BUILD)/flags
	$(Q)$(COMPILE) $(BIND) $(TESTING) $(DEPS) -c -o $@ $<

$(BUILD)/unit-%: t/unit/%.c $(BUILD)/testing/libdevcache.a
	$(Q)$(COMPILE) $(TESTING) $(DEPS) -o $@ $< $(BUILD)/testing/libdevcache.a $(LIBS)
$(BUILD)/replay-%: t/fuzz/%.c $(BUILD)/testing/libdevcache.a
	$(Q)$(COMPILE) -DREPLAY='"t/fuzz/corpus/$*"' $(DEPS) -o $@ $< \
	    $(BUILD)/testing/libdevcache.a $(LIBS)
$(BUILD)/fuzz-%: t/fuzz/%.c $(BUILD)/testing/libdevcache.a
	$(Q)$(COMPILE) -fsanitize=fuzzer $(DEPS) -o $@ $< \
	    $(BUILD)/testing/libdevcache.a $(LIBS)
$(BUILD)/bench-%: bench/%.c $(BUILD)/libdevcache.a
	$(Q)$(COMPILE) $(DEPS) -o $@ $< $(BUILD)/libdevcache.a $(LIBS) -lm
$(BUILD)/bench-mod_null.so: bench/null/mod_null.c $(BUILD)/flags
	$(Q)$(COMPILE) $(HTTPD_INC) $(DEPS) -shared -o $@ $<

# devcachectl speaks HTTP and JSON by libraries. The link is what a verb of it was once.
$(BUILD)/devcachectl: $(CTL:%=$(BUILD)/obj/tools/%.o) $(BUILD)/libdevcache.a
	$(Q)$(COMPILE) -o $@ $(filter %.o %.a,$^) $(LIBS) $(shell curl-config --libs) -ljansson -lm && \
	    ln -sf devcachectl $(BUILD)/devcache-classify

# Another compiler or other flags rebuild everything.
$(BUILD)/flags: FORCE
	@command -v $(APXS) >/dev/null || { \
	    echo "$(APXS) not found: run tools/packages.sh build, or set APXS=" >&2; exit 1; }
	@mkdir -p $(BUILD)
	@echo '$(COMPILE) $(BIND) $(LIBS)' | cmp -s - $@ || echo '$(COMPILE) $(BIND) $(LIBS)' >$@

-include $(wildcard $(foreach d,$(BUILD) $(BUILD)/obj $(BUILD)/testing,$d/*.d $d/*/*.d))

# --- test ------------------------------------------------------------------------------
T ?= $(UNITS:%=$(BUILD)/%) $(sort $(wildcard t/*.t))

test:                                   ## install what is lacking, then check
	tools/packages.sh test
	$(MAKE) check

check: all units $(BUILD)/bench-load $(BUILD)/testing/mod_devcache.so  ## T= JOBS= PROVEFLAGS= SAN=
	HTTPD=$(HTTPD) LIBEXECDIR=$(LIBEXECDIR) DEVCACHE_BUILD=$(BUILD) \
	    DEVCACHE_PRELOAD='$(PRELOAD)' prove -It/lib -j$(JOBS) $(PROVEFLAGS) $(T)

test-apps:                              ## WordPress, MediaWiki, Next.js, Express, Symfony: t/apps/*.t
	tools/packages.sh apps
	$(MAKE) check-apps
APPS ?= $(sort $(wildcard t/apps/*.t))
check-apps: all $(BUILD)/testing/mod_devcache.so
	t/apps/build express && t/apps/build nextjs
	HTTPD=$(HTTPD) LIBEXECDIR=$(LIBEXECDIR) DEVCACHE_BUILD=$(BUILD) \
	    prove -It/lib $(PROVEFLAGS) $(APPS)

chaos: all                              ## everything at once, each body compared: SECONDS= SERVERS= SEED=
	HTTPD=$(HTTPD) LIBEXECDIR=$(LIBEXECDIR) DEVCACHE_BUILD=$(BUILD) \
	    DEVCACHE_PRELOAD='$(PRELOAD)' SERVERS_OF_CHAOS=$(SERVERS) SEED_OF_CHAOS=$(SEED) \
	    perl -It/lib t/chaos/run $(or $(SECONDS),120)

fuzz:                                   ## build the fuzz targets, by clang
	$(MAKE) CC=clang BUILD=build-fuzz MODE='$(FUZZMODE)' $(FUZZ:%=build-fuzz/%)
	@echo 'To run them, each as long as you like:'; for f in $(FUZZ:fuzz-%=%); do \
	    mkdir -p build-fuzz/found/$$f; \
	    echo "  build-fuzz/fuzz-$$f -max_total_time=60 build-fuzz/found/$$f t/fuzz/corpus/$$f"; done
FUZZMODE = -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all

demo:                                   ## see it work (CHECK=1: unattended)
	tools/packages.sh demo
	$(MAKE) show
show: all
	HTTPD=$(HTTPD) LIBEXECDIR=$(LIBEXECDIR) tools/demo $(if $(CHECK),--check)

demo-machines:                          ## two machines and a Redis (CHECK=1: unattended)
	tools/packages.sh machines
	$(MAKE) show-machines
show-machines: all
	HTTPD=$(HTTPD) LIBEXECDIR=$(LIBEXECDIR) tools/demo-machines $(if $(CHECK),--check)
.PHONY: demo-machines show-machines

# --- packages --------------------------------------------------------------------------
VERSION := $(shell sed -n 's/.*DEVCACHE_VERSION "\(.*\)".*/\1/p' base/version.h)
MAN     := $(BUILD)/man/mod_devcache.5 $(BUILD)/man/devcachectl.1

man: $(MAN)                             ## man pages, made from the manual
$(BUILD)/man/mod_devcache.5: docs/directives.md
$(BUILD)/man/devcachectl.1: docs/devcachectl.md
$(MAN): tools/manpage base/version.h
	@mkdir -p $(@D); tools/manpage $(@F) $(VERSION) <$(filter %.md,$^) >$@

# What belongs to the project: by git, or all of an unpacked archive.
FILES = { git ls-files -z 2>/dev/null || find . \( -name '.git' -o -path './build*' \) -prune -o -type f -print0; }

# The tree as it is in git, with packaging/debian where Debian's tools look for it.
deb:                                    ## build/deb/libapache2-mod-devcache_*.deb
	tools/packages.sh deb
	rm -rf $(BUILD)/deb && mkdir -p $(BUILD)/deb/mod-devcache-$(VERSION)
	$(FILES) | xargs -0 cp --parents -t $(BUILD)/deb/mod-devcache-$(VERSION)
	cp -r packaging/debian $(BUILD)/deb/mod-devcache-$(VERSION)/
	cd $(BUILD)/deb/mod-devcache-$(VERSION) && env -u MAKEFLAGS -u BUILD dpkg-buildpackage -us -uc -b
lint-deb: deb                           ## what lintian says of it
	tools/packages.sh lintian
	lintian --fail-on error,warning $(BUILD)/deb/*.changes

# As far as it can be tried on Debian: its rpm knows no package of Fedora, so --nodeps.
rpm:                                    ## build/rpm/RPMS/*/mod_devcache-*.rpm
	tools/packages.sh rpm
	rm -rf $(BUILD)/rpm && mkdir -p $(BUILD)/rpm/SOURCES $(BUILD)/rpm/mod_devcache-$(VERSION)
	$(FILES) | xargs -0 cp --parents -t $(BUILD)/rpm/mod_devcache-$(VERSION)
	tar -C $(BUILD)/rpm -czf $(BUILD)/rpm/SOURCES/mod_devcache-$(VERSION).tar.gz mod_devcache-$(VERSION)
	env -u MAKEFLAGS rpmbuild -bb --nodeps --define '_topdir $(CURDIR)/$(BUILD)/rpm' \
	    --define 'devcache_version $(VERSION)' --define 'devcache_modules $(LIBEXECDIR)' \
	    packaging/rpm/mod_devcache.spec
image-test:                             ## build and try the image, by buildah and runc
	tools/packages.sh image
	packaging/container/try $(SUITE)
.PHONY: man deb lint-deb rpm image-test

# --- compare ---------------------------------------------------------------------------
# docs/bench.md tells what is measured and how. On a quiet machine: ROUNDS=9 DURATION=3.
BENCHES = bench bench-miss bench-scale bench-restart bench-eviction bench-devices \
          bench-classify bench-instructions bench-syscalls bench-herd bench-purge \
          bench-h2 bench-tier
.PHONY: $(BENCHES)
bench: COMPARE = hits                   ## hits: SIZES= PEERS= LOAD=paced ROUNDS=
bench-miss: COMPARE = misses            ## misses that are stored
bench-scale: COMPARE = scale            ## few and many objects: OBJECTS=
bench-restart: COMPARE = restart        ## how soon it is warm again: OBJECTS=
bench-eviction: COMPARE = eviction      ## the store alone: hit ratio beside LRU
bench-devices: COMPARE = devices        ## the classifier alone: CORPORA=
bench-classify: COMPARE = classify      ## what the class costs a hit
bench-instructions: COMPARE = instructions  ## the same from run to run: SIZES= PEERS=
bench-syscalls: COMPARE = syscalls      ## of hits and misses, futex above all: CHILDREN=
bench-herd: COMPARE = herd              ## many who want the same: CASES= PEERS= ROUNDS=
bench-purge: COMPARE = purge            ## purges of 100,000 objects: OBJECTS=
bench-h2: COMPARE = h2                  ## hits over TLS, by HTTP/2 and HTTP/1.1
bench-tier: COMPARE = tier              ## several machines: WHAT= N= SECONDS=
bench-eviction bench-devices bench-purge: NEED = build
bench-classify bench-instructions: NEED = instructions
bench-syscalls: NEED = syscalls
bench-h2: NEED = h2
bench-tier: NEED = tier

$(BENCHES):
	tools/packages.sh $(or $(NEED),bench)
	$(MAKE) compare-$(COMPARE)
compare-eviction: $(BUILD)/bench-eviction $(BUILD)/bench-store
	$(BUILD)/bench-eviction
	dir=$$(mktemp -d) && $(BUILD)/bench-store $$dir && rmdir $$dir
compare-purge: $(BUILD)/bench-purge
	dir=$$(mktemp -d) && $(BUILD)/bench-purge $$dir $(OBJECTS) && rmdir $$dir
compare-devices: $(BUILD)/bench-devices
	$(BUILD)/bench-devices $(CORPORA)
compare-tier: all bench-programs
	HTTPD=$(HTTPD) LIBEXECDIR=$(LIBEXECDIR) bench/tier $(WHAT)
compare-%: all bench-programs
	HTTPD=$(HTTPD) LIBEXECDIR=$(LIBEXECDIR) bench/run $*

# --- lint ------------------------------------------------------------------------------
C_FILES = $(SRC) $(wildcard *.h $(foreach d,$(CORE_DIRS) $(GLUE_DIRS),$d/*.h) \
          t/unit/*.[ch] t/fuzz/*.c bench/*.[ch] bench/*/*.c tools/*.[ch])
LINT    = lint-format lint-cppcheck lint-tidy lint-analyzer
have    = @if command -v $1 >/dev/null; then echo "$2"; $2; else echo "$1: not here"; fi

lint: $(LINT)                           ## cppcheck, clang-tidy, gcc -fanalyzer, format
lint-format:
	$(call have,clang-format,clang-format --dry-run --Werror $(C_FILES))
lint-cppcheck: $(BUILD)/made/page_css.h
	$(call have,cppcheck,cppcheck -q --error-exitcode=1 --inline-suppr -j$(JOBS) \
	    --enable=warning$(comma)performance$(comma)portability --std=c11 -I. -I$(BUILD)/made $(SRC))
lint-tidy: $(SRC:%.c=$(BUILD)/tidied-%)
lint-analyzer: $(SRC:%.c=$(BUILD)/analyzed-%)
LINTFLAGS = -I. -I$(BUILD)/made -std=gnu11 $(HTTPD_CPP) $(APR_CPP) $(HTTPD_INC)
$(BUILD)/tidied-%: %.c .clang-tidy $(BUILD)/flags
	$(call have,clang-tidy,clang-tidy --quiet $< -- $(LINTFLAGS))
	@mkdir -p $(@D); $(CC) $(LINTFLAGS) -MM -MP -MF $@.d -MT $@ $< && touch $@
# gcc 12 loses sight of arrays that a loop fills; clang's analyzer looks for those.
$(BUILD)/analyzed-%: %.c $(BUILD)/flags
	@echo 'gcc -fanalyzer $<'; mkdir -p $(@D)
	@gcc $(LINTFLAGS) -O2 -fanalyzer -Wno-analyzer-use-of-uninitialized-value -Werror \
	    -fdiagnostics-path-format=none -MMD -MP -MF $@.d -MT $@ -c -o $@.o $< && touch $@
.PHONY: $(LINT)

# The manual names what is there, httpd takes its examples, and commands print what it shows.
check-docs: all                         ## links, directives, examples, commands and their output
	HTTPD=$(HTTPD) LIBEXECDIR=$(LIBEXECDIR) DEVCACHE_BUILD=$(BUILD) prove -It/lib $(PROVEFLAGS) \
	    t/01-docs.t t/110-shown.t
check-page: all $(BUILD)/testing/mod_devcache.so     ## the status page, in Chromium
	tools/packages.sh page
	HTTPD=$(HTTPD) LIBEXECDIR=$(LIBEXECDIR) DEVCACHE_BUILD=$(BUILD) tools/check-status-page $(PICTURES)
.PHONY: check-docs check-page

compile_commands.json: FORCE            ## for editors
	@{ sep='['; for f in $(SRC); do printf '%s\n{"directory": "%s", "file": "%s",' \
	    "$$sep" '$(CURDIR)' "$$f"; printf ' "command": "%s -c %s"}' \
	    '$(COMPILE) $(HTTPD_INC)' "$$f"; sep=,; done; echo ']'; } >$@

# --- install ---------------------------------------------------------------------------
# Nothing is enabled and no server restarted. A devcache.conf that differs from ours is the
# administrator's: ours is put beside it.
MODS     := $(wildcard $(SYSCONFDIR)/mods-available)
CONFDIR  ?= $(or $(MODS),$(SYSCONFDIR)/extra)
conf     := $(DESTDIR)$(CONFDIR)/devcache.conf
load     := $(DESTDIR)$(CONFDIR)/devcache.load
BINDIR   ?= /usr/local/sbin

install: all                            ## DESTDIR= CONFDIR= BINDIR=; enables nothing
	install -d $(DESTDIR)$(LIBEXECDIR) $(DESTDIR)$(CONFDIR) $(DESTDIR)$(BINDIR)
	install -m 755 $(BUILD)/devcachectl $(DESTDIR)$(BINDIR)/
	ln -sf devcachectl $(DESTDIR)$(BINDIR)/devcache-classify
	install -m 644 $(BUILD)/mod_devcache.so $(DESTDIR)$(LIBEXECDIR)/
	sed 's|/usr/lib/apache2/modules|$(LIBEXECDIR)|' conf/devcache.load >$(load)
	@if [ -e $(conf) ] && ! cmp -s conf/devcache.conf $(conf); then \
	    install -m 644 conf/devcache.conf $(conf).dist; \
	    echo "$(conf) was changed here and is kept; the new one is $(conf).dist"; \
	else install -m 644 conf/devcache.conf $(conf); fi
	@echo "Installed, not enabled: $(if $(filter $(MODS),$(CONFDIR)),a2enmod devcache,Include \
	    $(load) and $(conf) in httpd.conf)."

# While it is enabled, what is left could not even be stopped.
uninstall:                              ## what install has put there, unless changed
	@if [ -e $(DESTDIR)$(CONFDIR)/../mods-enabled/devcache.load ]; then \
	    echo "It is enabled. Take the DevCache lines out of the configuration," \
	        "a2dismod devcache, restart, and then uninstall." >&2; exit 1; fi
	rm -f $(DESTDIR)$(LIBEXECDIR)/mod_devcache.so $(load) $(conf).dist \
	    $(DESTDIR)$(BINDIR)/devcachectl $(DESTDIR)$(BINDIR)/devcache-classify
	@if cmp -s conf/devcache.conf $(conf); then rm -f $(conf); fi

clean:                                  ## remove what was built
	rm -rf build build-san build-fuzz compile_commands.json

help:                                   ## V=1 WERROR=1 CC=clang go with any
	@sed -n 's/^\([a-z_.-]*\):[^#]*##  *\(.*\)/  \1	\2/p' Makefile | expand -t26
