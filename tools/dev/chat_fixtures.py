#!/usr/bin/env python3
"""Chat templates and what transformers makes of them (tests/fixtures/chat/cases.json).

    chat_fixtures.py                         writes the fixture from the templates below
    chat_fixtures.py FOLDER... --out FILE    of real tokenizers, for ONEPASS_CHAT_CASES

The templates below are written for the tests, each around what the templates of a family use.
"""

import argparse
import json
import pathlib

from transformers.utils.chat_template_utils import _compile_jinja_template

USER = [{"role": "user", "content": "  Is it good?\n{text} "}]
SYSTEM = [{"role": "system", "content": "You judge. "}, *USER]
TURNS = [*SYSTEM, {"role": "assistant", "content": "Yes"}, {"role": "user", "content": "And: \"this\" & that?"}]
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "tools": None, "documents": None}

TEMPLATES = {
    "turns": "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}"
             "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}",
    "blocks": """{{- bos_token }}
{%- if not date is defined %}
    {%- set date = "1 Jan 2024" %}
{%- endif %}

{#- The system's words go first #}
{%- if messages[0]['role'] == 'system' %}
    {%- set said = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set said = "" %}
{%- endif %}
{{- "[system]\\n" }}
{%- if tools is not none and not inline %}
    {{- tools | tojson(indent=4) }}
{%- endif %}
{{- "Date: " + date + "\\n\\n" ~ said }}
{%- for message in messages %}
    {%- if not (message.role == 'tool' or 'tool_calls' in message) %}
        {{- '[' + message['role'] + ']\\n'+ message['content'] | trim + '[end]' }}
    {%- elif 'tool_calls' in message %}
        {{- raise_exception("one call") if message.tool_calls|length != 1 }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '[assistant]\\n' }}
{%- endif %}
""",
    "alternate": """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first = messages[0]['content'] + '

' -%}
    {%- else -%}
        {%- set first = messages[0]['content'][0]['text'] -%}
    {%- endif -%}
    {%- set rest = messages[1:] -%}
{%- else -%}
    {%- set first = "" -%}
    {%- set rest = messages -%}
{%- endif -%}
{%- for message in rest -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Roles must alternate") }}
    {%- endif -%}
    {%- set role = "model" if message['role'] == 'assistant' else message['role'] -%}
    {{ '<turn>' + role + '
' + (first if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}{{ item['text'] | trim }}{%- endfor -%}
    {%- endif -%}
    {{ '</turn>
' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<turn>model
'}}
{%- endif -%}
""",
    "thinking": """{%- set ns = namespace(last=messages|length - 1, multi=true) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi and message.role == "user" and not(message.content.startswith('<r>') and message.content.endswith('</r>')) %}
        {%- set ns.multi = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set content = message.content %}
        {%- if '</think>' in content %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.last or (not loop.last and loop.index0 > ns.last) %}{{- 'late ' }}{%- endif %}
        {{- content.strip('\\n') }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}""",
    "macros": """{%- macro turn(message, prefix='> ', suffix) -%}
{{ prefix }}{{ message.role|upper }}: {{ message.content|trim|replace('\\n', ' / ') }}
{% endmacro -%}
""".replace(", suffix", "") + """{% macro bare() %}{{ caller is defined }}|{{ bos_token }}{% endmacro %}
{{ bare() }}
{%- for m in messages if m.role != 'system' %}
{{ turn(m, prefix=loop.index ~ '. ') }}
{%- else %}none{% endfor %}
{{ turn(messages[-1]) }}""",
    "spaces": """  {% if true %}
    one  
  {%- endif %}
\t{# gone #}
two {# stays on the line #} three
  {%+ if true %}kept{% endif +%}

  {{ 'x' }}
  {{- 'y' -}}
   z
{% raw %}
{{ not }} {% printed %}
{% endraw %}
end
""",
    "values": """{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 1.5 + 1 }} {{ 1e3 }} {{ 3 * 'ab' if false else 'ab' * 3 }}
{{ [1, 'two', none, true, 2.0] }} {{ {'a': [1], 'b': {'c': "it's"}} }} {{ (1, 2)[1] }}
{{ 'abcdef'[1:4] }} {{ 'abcdef'[::-2] }} {{ 'abcdef'[-3:] }} {{ [1,2,3][5:] }} {{ 'émile'[0] }} {{ 'émile'|length }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 'a' in 'cat' }} {{ 'a' not in ['a'] }} {{ 'k' in {'k': 1} }} {{ not 1 == 2 }}
{{ missing }}|{{ missing|default('d') }}|{{ ''|default('e', true) }}|{{ missing is defined }}|{{ none is none }}
{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a.b.c'.split('.', 1) }} \
{{ '\u3000a\u2003b \xa0\x1f c\u200bd\n'.split()|join('|') }} \
{{ ' a  b\u2028 c '.split(none, 1)|join('|') }} {{ ' a '.split(none, 0)|join('|') }} {{ ' \x85'.split()|length }} {{ ['x','y']|join('-') }} {{ 'xay'.replace('a', '') }}
{{ {'b': 1, 'a': [true, null_value]}|tojson if false else {'b': 1, 'a': [true, none, 1.5, "q\\"\\n"]}|tojson }}
{{ {'b': 1, 'a': []}|tojson(indent=2) }}
{{ [3, 1, 2]|sort }} {{ ['b', 'A']|sort|join }} {{ [{'n': 'x'}, {'n': 'y'}]|map(attribute='n')|list }} {{ ['a']|map('upper')|list }}
{{ [{'r': 'u'}, {'r': 's'}]|selectattr('r', 'equalto', 's')|list|length }} {{ [1, 2, 3]|reject('odd')|list }} {{ [0, 1]|select|list }}
{{ range(3)|list }} {{ range(5, 0, -2)|list }} {% for k, v in {'x': 1, 'y': 2}.items() %}{{ k }}={{ v }}{{ ', ' if not loop.last }}{% endfor %}
{{ 'hello wORLD'|title }} {{ 'hELLO'|capitalize }} {{ '  pad '|trim }}| {{ 'xxaxx'.strip('x') }} {{ 'a\\nb'|indent(2) }} {{ '12'|int + 1 }}
{{ 'abc'|first }}{{ 'abc'|last }} {{ 'abc'|reverse }} {{ 4 is even }} {{ 9 is divisibleby 3 }} {{ 'x' is string }} {{ {} is mapping }}
{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}
{% for i in range(9) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}{{ i }}{{ loop.last }}{% endfor %}
{% set block %}in {{ x }}{% endset %}[{{ block }}] {% set a, b = [1, 2] %}{{ a }}{{ b }} {{ 'a' 'b' }} {{ "\\u00e9\\t|" }}
{{ 'a' ~ 1 ~ none }} {{ '%d' if true }} {{ ('a' if false) is defined }} {{ messages[0].nothing is defined }} {{ messages[9] is defined }}
{{ messages[0].get('role') }} {{ messages[0].get('x', 'y') }} {{ messages[0].keys()|sort }} {{ 3.0 }} {{ 10000000000000000.0 }} {{ 0.1 }} {{ 1 == 1.0 }}""",
    "generation": "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
    "mistral": """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("roles must alternate") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- endif %}
{%- endfor %}""",
}

# Ours is to fail, with this code.
FAILING = {
    "no_end": ("{% if true %}x", "bad_syntax"),
    "no_tag_end": ("{{ 'x' ", "bad_syntax"),
    "no_string_end": ("{{ 'x }}", "bad_syntax"),
    "wrong_end": ("{% if true %}{% endfor %}", "bad_syntax"),
    "else_alone": ("{% else %}", "bad_syntax"),
    "break_alone": ("{% break %}", "bad_syntax"),
    "no_value": ("{{ 1 + }}", "bad_syntax"),
    "strange_character": ("{{ a ? b }}", "bad_syntax"),
    "its_own": ("{{ raise_exception('no system role') }}", "bad_value"),
    "undefined_attribute": ("{{ nothing.at.all }}", "bad_value"),
    "adds_undefined": ("{{ 'a' + nothing }}", "bad_value"),
    "adds_kinds": ("{{ 'a' + 1 }}", "bad_value"),
    "no_division": ("{{ 1 // 0 }}", "bad_value"),
    "large_number": ("{{ 9223372036854775807 + 1 }}", "bad_value"),
    "unknown_filter": ("{{ 'a'|wordwrap(3) }}", "unsupported"),
    "unknown_test": ("{{ 'a' is escaped }}", "unsupported"),
    "unknown_statement": ("{% include 'x' %}", "unsupported"),
    "unknown_function": ("{{ strftime_now('%d') }}", "unsupported"),
    "upper_beyond_ascii": ("{{ '\u00e9'|upper }}", "unsupported"),
    "endless_text": ("{% set n = namespace(t='aaaaaaaa') %}{% for i in range(99) %}{% set n.t = n.t ~ n.t %}{% endfor %}", "limit_exceeded"),
    "endless_loop": ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "limit_exceeded"),
    "endless_lists": ("{% set n = namespace(t=[1]) %}{% for i in range(60) %}{% set n.t = n.t + n.t %}{% endfor %}", "limit_exceeded"),
    "wide_values": ("{% set n = namespace(t=[1]) %}{% for i in range(60) %}{% set n.t = [n.t, n.t] %}{% endfor %}", "limit_exceeded"),
    "deep_values": ("{% set n = namespace(t=[1]) %}{% for i in range(99) %}{% set n.t = [n.t] %}{% endfor %}", "too_deep"),
    "large_repeat": ("{{ 'ab' * 9000000000000 }}", "limit_exceeded"),
    "large_replace": ("{{ ('a' * 1000000)|replace('a', 'b' * 1000000) }}", "limit_exceeded"),
    "large_range": ("{{ range(-9223372036854775807)|list }}", "limit_exceeded"),
    "calls_itself": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "too_deep"),
    "in_itself": ("{% set n = namespace() %}{% set n.n = n %}", "bad_value"),
    "in_a_list": ("{% set n = namespace() %}{{ [n] }}", "bad_value"),
}


def cases_of(name, template, tokens):
    compiled = _compile_jinja_template(template)
    for number, messages in enumerate((USER, SYSTEM, TURNS)):
        for extra in ({}, {"add_generation_prompt": True}, {"add_generation_prompt": True, "enable_thinking": False}):
            variables = {"messages": messages, **tokens, **extra}
            try:
                expected = compiled.render(**variables)
            except Exception as error:  # the template's own refusal
                yield {"name": f"{name}_{number}", "template": name, "variables": variables,
                       "error": "bad_value", "because": str(error)}
                continue
            yield {"name": f"{name}_{number}", "template": name, "variables": variables, "expected": expected}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    cases, templates = [], {}
    if arguments.folders:
        for folder in arguments.folders:
            path = folder / "tokenizer_config.json"
            config = json.loads(path.read_text()) if path.exists() else {}
            if not isinstance(config.get("chat_template"), str):
                continue
            tokens = {"tools": None, "documents": None}
            for key in ("bos_token", "eos_token", "pad_token", "unk_token"):
                value = config.get(key)
                if isinstance(value, dict):
                    value = value["content"]
                if value is not None:
                    tokens[key] = value
            # The date of today is no part of a file: the templates' own default is taken.
            template = config["chat_template"].replace("strftime_now is defined", "false")
            templates[folder.name] = template
            cases += cases_of(folder.name, template, tokens)
        out = arguments.out or parser.error("--out is needed with folders")
    else:
        for name, template in TEMPLATES.items():
            templates[name] = template
            cases += cases_of(name, template, TOKENS)
        for name, (template, code) in FAILING.items():
            templates[name] = template
            cases.append({"name": name, "template": name, "variables": {"messages": USER}, "error": code})
        out = pathlib.Path(__file__).parents[2] / "tests/fixtures/chat/cases.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    rows = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    out.write_text(f'{{"templates": {json.dumps(templates, ensure_ascii=False, indent=1)},\n"cases": [\n{rows}\n]}}\n')
    print(f"{len(cases)} cases in {out}")


if __name__ == "__main__":
    main()
