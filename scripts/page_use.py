"""How the page is used: by keyboard, by pointer, by links, without scripts, by other sites,
on a phone. A part of scripts/page.py."""

import contextlib
import json
import re
import subprocess
import urllib.parse

from page_chromium import DESK, PHONE, SMALL_TARGETS, cells, check_access, fill, idle, opened, run, states, tab_to, wait_for
from page_service import HOST, NODE, PICTURES, SILENT, hosting, listener, serving, wait_until


def the_keyboard_alone_does_everything(browser, service):
    with opened(browser, service) as page:
        run(page, "both.internal", ports="1-10000", expect="22")
        page.click("summary")
        page.evaluate("document.activeElement.blur()")
        wanted = set(page.evaluate("""[...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")]
            .filter((each) => each.checkVisibility() && !each.disabled).map((each) => each.outerHTML)"""))
        page.evaluate("scrollTo(0, 0); document.body.focus()")
        reached = set()
        for _ in range(2 * len(wanted)):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.outerHTML"))
        assert wanted <= reached, wanted - reached
    with opened(browser, service) as page:
        keys = page.keyboard
        tab_to(page, "domain")
        keys.type(HOST)
        keys.press("Enter")
        wait_for(page, "document.querySelector('#status').textContent.includes('101 open ports')")
        while page.evaluate("document.activeElement.className") != "map":
            keys.press("Tab")
        told = lambda: page.inner_text("#readout")
        for key, start in {"Home": "0", "ArrowDown": "256", "ArrowRight": "257", "ArrowLeft": "256", "PageDown": "4352", "PageUp": "256", "End": "511", "ArrowUp": "255"}.items():
            keys.press(key)
            assert told().split()[0] == start, (key, told())
        keys.press("Home")
        keys.press("n")
        assert re.fullmatch(r"22 ssh · open · syn-ack · [\d.]+ ms", told()), told()
        keys.press("n")
        assert told().startswith("80 http · open"), told()
        keys.press("ArrowRight")
        assert told() == "81 · closed · conn-refused", told()
        keys.press("p")
        keys.press("p")
        assert told().startswith("22 "), told()
        drawn = page.evaluate("document.querySelector('canvas.cells').toDataURL()")
        for key in "++":
            keys.press(key)
        wait_for(page, "was => document.querySelector('canvas.cells').toDataURL() !== was", drawn)
        keys.press("0")
        wait_for(page, "was => document.querySelector('canvas.cells').toDataURL() === was", drawn)
        # Start and cancel.
        tab_to(page, "domain")
        keys.press("Control+A")
        keys.type(SILENT)
        keys.press("Enter")
        wait_until("probes", lambda: service.probes() > 0)
        tab_to(page, "cancel")
        keys.press("Space")
        idle(page)
        wait_until("no probe", lambda: service.probes() == 0)


def a_pointer_names_ports_and_zooms(browser, service):
    with opened(browser, service) as page:
        run(page, HOST)
        box = page.locator(".map").bounding_box()
        cell = box["width"] / 256

        def middle(port):
            return box["x"] + (port % 256 + 0.5) * cell, box["y"] + (port // 256 + 0.5) * cell

        for port, told in {5432: "5432 postgresql · open · syn-ack", 65535: "65535 · closed", 256: "256 · closed"}.items():
            page.mouse.move(*middle(port))
            assert page.inner_text("#readout").startswith(told), page.inner_text("#readout")
        page.mouse.move(*middle(16 * 256 + 100))
        page.mouse.down()
        page.mouse.move(*middle(40 * 256 + 130))
        page.mouse.up()
        # The 6,175 ports between are shown from the first row on, and 128 in each row.
        page.mouse.move(box["x"] + 2, box["y"] + 2)
        first = 16 * 256 + 100 - (16 * 256 + 100) % 128
        assert page.inner_text("#readout").startswith(f"{first} "), page.inner_text("#readout")
        page.mouse.move(box["x"] + 2, box["y"] + 2 + box["height"] / 128)
        assert page.inner_text("#readout").startswith(f"{first + 128} "), page.inner_text("#readout")
        page.fill("#goto", "8000-8100")
        page.keyboard.press("Enter")
        # 101 ports fit into 16 rows of 16.
        page.screenshot(path=PICTURES / "zoom.png")
        assert page.inner_text("#readout").startswith("8000 "), page.inner_text("#readout")
        page.click("#next")
        assert page.inner_text("#readout").startswith("8080 "), page.inner_text("#readout")
        page.click("#whole")


def the_table_and_the_copies_say_the_same(browser, service):
    with opened(browser, service) as page:
        run(page, HOST, ports="1-6000")
        report = service.get("/open-ports", domain=HOST, ports="1-6000", details="true")
        rows = page.locator("#table tbody th").all_inner_texts()
        assert [int(port) for port in rows] == report["open_ports"]
        page.click("[data-copy=open]")
        assert page.evaluate("seen.copied") == ",".join(map(str, report["open_ports"]))
        page.click("[data-copy=table]")
        ports = [row.split("\t") for row in page.evaluate("seen.copied").splitlines()[1:]]
        ends = [(row[0].split("-")[0], row[0].split("-")[-1], row[2]) for row in ports]
        named = {port: state for first, last, state in ends for port in range(int(first), int(last) + 1)}
        assert named == states(report["addresses"][0], range(1, 6001))
        page.click("[data-copy=json]")
        assert json.loads(page.evaluate("seen.copied"))["open_ports"] == report["open_ports"]
        page.check("#every-state")
        assert page.locator("#table tbody tr").count() == len(ports)
        page.click("[data-copy=curl]")
        told = subprocess.run(["sh", "-c", page.evaluate("seen.copied")], check=True, stdout=subprocess.PIPE).stdout
        assert json.loads(told)["open_ports"] == report["open_ports"]


def the_url_has_the_form_and_starts_nothing(browser, service):
    with opened(browser, service) as page:
        fill(page, domain=HOST, ports="22,8000-8100", expect="22", family="ipv4", timeoutMs="500", every="2s")
        page.check("#watch")
        url = page.evaluate("location.href")
        assert urllib.parse.urlsplit(url).query == f"domain={HOST}&ports=22,8000-8100&expect=22&family=ipv4&timeoutMs=500&every=2s&watch=true", url
        page.goto("about:blank")
        asked = service.requests()
        page.goto(url)
        page.wait_for_timeout(300)
        assert service.requests() == asked
        values = page.evaluate("['domain', 'ports', 'expect', 'family', 'timeoutMs', 'every'].map((id) => document.getElementById(id).value)")
        assert values == [HOST, "22,8000-8100", "22", "ipv4", "500", "2s"] and page.is_checked("#watch"), values


def without_scripts_the_form_gives_a_page(browser, service):
    with opened(browser, service, java_script_enabled=False) as page:
        page.fill("#domain", HOST)
        page.fill("#ports", "1-100")
        page.click("#start")
        assert "Open ports of" in page.title(), page.title()
        text = page.inner_text("main")
        assert "22" in text and "ssh" in text and "80" in text, text
        page.go_back()
        page.fill("#domain", "localhost:22")
        page.click("#start")
        assert "holds a port" in page.inner_text("main")


def other_sites_get_nothing(browser, service):
    port = urllib.parse.urlsplit(service.url).port
    # A name of somebody else that leads here: DNS rebinding.
    with opened(browser, service, at="about:blank") as page:
        reply = page.goto(f"http://elsewhere.internal:{port}/")
        assert reply.status == 421, reply.status
    # A page of somebody else, on another port of this host.
    html = f"""<iframe src="{service.url}/"></iframe><img src="{service.url}/open-ports?domain={HOST}&ports=22">"""
    with hosting("127.0.0.77", html) as site, opened(browser, service, at="about:blank", strict=False) as page:
        refused = service.requests("403")
        page.goto(site, wait_until="load")
        assert service.requests("403") == refused + 1
        assert page.frames[1].locator("form").count() == 0


def pictures_are_taken(browser, service):
    expected = ",".join(map(str, NODE)) + ",9090,30000-30063"
    with serving("pictures", listen="127.0.0.1:8080") as shown, contextlib.ExitStack() as stack:
        for port in [*NODE, 6379, *range(30000, 30064)]:
            stack.enter_context(listener("node-7.internal", port))
        for size in (DESK, PHONE):
            with opened(browser, shown, at="http://localhost:8080/", color_scheme="light", **size) as page:
                run(page, "node-7.internal", expect=expected)
                with listener("node-7.internal", 9443):
                    fill(page, expect=expected + ",9443")
                    page.click("#start")
                    idle(page)
                page.fill("#goto", "9443")
                page.press("#goto", "Enter")
                page.click("#whole")
                page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
                for scheme in ("light", "dark"):
                    page.emulate_media(color_scheme=scheme)
                    cells(page)
                    name = "phone" if size is PHONE else scheme
                    page.screenshot(path=PICTURES / f"{name}.png", full_page=size is PHONE)
                    check_access(page)
                small = page.evaluate(SMALL_TARGETS)
                assert not small, small
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), size


CHECKS = [
    the_keyboard_alone_does_everything,
    a_pointer_names_ports_and_zooms,
    the_table_and_the_copies_say_the_same,
    the_url_has_the_form_and_starts_nothing,
    without_scripts_the_form_gives_a_page,
    other_sites_get_nothing,
    pictures_are_taken,
]
