"""The page `dvc plots show` fills, with Vega inside: DVC's own loads it from a network at every opening.

`python -m beyond_spectrograms.report.dvc_plots_page` writes .dvc/plots/page.html; .dvc/config names it, git ignores it.
"""

from pathlib import Path

from beyond_spectrograms.util.files import write_text

PAGE = Path(".dvc/plots/page.html")
VEGA_LITE = "5.21"  # DVC 3.67 and the templates in .dvc/plots write Vega-Lite 5

# DVC puts its charts where {plot_divs} stands; without {scripts} it adds no address of Vega's. For a file that does not
# exist it asks for an empty chart: the page says so instead.
FRAME = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{{refresh_tag}}
<title>beyond-spectrograms: plots</title>
<style>body {{ font-family: sans-serif; margin: 2em; }} body > div {{ margin-bottom: 2em; }}</style>
<script>{vega}</script>
<script>
const embed = window.vegaEmbed;
window.vegaEmbed = (place, chart) => Object.keys(chart).length
    ? embed(place, chart, {{renderer: "svg"}})
    : document.querySelector(place).append(`not run: ${{place.slice(1)}}`);
</script>
</head>
<body>
{{plot_divs}}
</body>
</html>
"""


def page() -> str:
    """Build the page: Vega, Vega-Lite and Vega-Embed in one script, and DVC's places."""
    import vl_convert

    return FRAME.format(vega=vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE))


if __name__ == "__main__":
    write_text(PAGE, page())
