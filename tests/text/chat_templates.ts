/** Chat templates with the formats of well-known models and with what theirs use of Jinja, each written here anew. */
export const CHAT_TEMPLATES: Record<string, string> = {
  "ChatML": "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] }}" +
    "{{ '<|im_end|>' + '\\n' }}{% endfor %}" +
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",

  "ChatML with a system turn of its own (SmolLM2)":
    "{% for m in messages %}{% if loop.first and messages[0].role != 'system' %}" +
    "{{ '<|im_start|>system\nAnswer briefly.<|im_end|>\n' }}{% endif %}" +
    "{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n'}}{% endfor %}" +
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",

  "Llama 2": `{% if messages[0]['role'] == 'system' %}
{% set turns = messages[1:] %}
{% set system = '<<SYS>>\\n' + messages[0]['content'].strip() + '\\n<</SYS>>\\n\\n' %}
{% else %}
{% set turns = messages %}
{% set system = '' %}
{% endif %}
{%- for m in turns %}
  {%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}
    {{- raise_exception('user and assistant must take turns') }}
  {%- endif %}
  {%- set text = system + m['content'] if loop.index0 == 0 else m['content'] %}
  {%- if m['role'] == 'user' %}
    {{- bos_token + '[INST] ' + text | trim + ' [/INST]' }}
  {%- elif m['role'] == 'assistant' %}
    {{- ' ' + text.strip() + ' ' ~ eos_token }}
  {%- endif %}
{%- endfor %}`,

  "Llama 3": `{{- bos_token }}
{%- if not date_string is defined %}
  {%- if strftime_now is defined %}{%- set date_string = strftime_now('%Y') %}{%- else %}{%- set date_string = '?' %}{%- endif %}
{%- endif %}
{%- set first = messages[0]['content'] | trim if messages[0]['role'] == 'system' else "" -%}
{%- if messages[0]['role'] == 'system' %}{%- set messages = messages[1:] %}{%- endif %}
<|start_header_id|>system<|end_header_id|>

Today is in {{ date_string }}.

{{ first }}<|eot_id|>
{%- for m in messages %}
  {%- if not (m.role == 'ipython' or m.role == 'tool' or 'tool_calls' in m) %}
    {{- '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' + m['content'] | trim + '<|eot_id|>' }}
  {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
  {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
`,

  "Zephyr": `{% for m in messages %}
{% if m['role'] == 'user' %}
{{ '<|user|>\\n' + m['content'] + eos_token }}
{% elif m['role'] == 'system' %}
{{ '<|system|>\\n' + m['content'] + eos_token }}
{% elif m['role'] == 'assistant' %}
{{ '<|assistant|>\\n'  + m['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}`,

  "Mistral": `{%- if messages[0]["role"] == "system" -%}
  {%- set system_message = messages[0]["content"] -%}
  {%- set loop_messages = messages[1:] -%}
{%- else -%}
  {%- set loop_messages = messages -%}
{%- endif -%}
{%- set ns = namespace(index=0, last=-1) -%}
{%- for m in loop_messages -%}
  {%- if m.role == "user" -%}{%- set ns.last = loop.index0 -%}{%- endif -%}
{%- endfor -%}
{{- bos_token }}
{%- for m in loop_messages %}
  {%- if (m.role == "user") != (ns.index % 2 == 0) %}
    {{- raise_exception("roles must alternate, found " + m.role) }}
  {%- endif %}
  {%- set ns.index = ns.index + 1 %}
  {%- if m.role == "user" %}
    {%- if loop.index0 == ns.last and system_message is defined %}
      {{- "[INST] " + system_message + "\\n\\n" + m.content + "[/INST]" }}
    {%- else %}
      {{- "[INST] " + m.content + "[/INST]" }}
    {%- endif %}
  {%- else %}
    {{- " " + m.content | trim + eos_token }}
  {%- endif %}
{%- endfor %}`,

  "Gemma": "{{ bos_token }}{% if messages[0]['role'] == 'system' %}" +
    "{{ raise_exception('no system turns here') }}{% endif %}" +
    "{% for m in messages %}{% if (m['role'] == 'assistant') %}{% set role = 'model' %}" +
    "{% else %}{% set role = m['role'] %}{% endif %}" +
    "{{ '<start_of_turn>' + role + '\n' + m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}" +
    "{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}",

  "Qwen":
    `{%- macro turn(role, text) %}{{ '<|im_start|>' ~ role ~ '\\n' ~ text ~ '<|im_end|>\\n' }}{% endmacro %}
{%- set ns = namespace(multi=true, last=messages | length - 1) %}
{%- for m in messages[::-1] %}
  {%- set index = (messages | length - 1) - loop.index0 %}
  {%- if ns.multi and m.role == "user" and m.content is string and not m.content.startswith('<tool>') %}
    {%- set ns.multi = false %}
    {%- set ns.last = index %}
  {%- endif %}
{%- endfor %}
{%- for m in messages %}
  {%- if m.content is string %}{%- set text = m.content %}{%- else %}{%- set text = '' %}{%- endif %}
  {%- if m.role == "assistant" and '</think>' in text %}
    {%- set text = text.split('</think>')[-1].lstrip('\\n') %}
  {%- endif %}
  {{- turn(m.role, text) }}
  {%- if loop.index0 > ns.last and not loop.last %}{{- '~' }}{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think></think>' }}{%- endif %}`,

  "Phi":
    "{% for m in messages %}{% if m['role'] in ['system', 'user', 'assistant'] and m.content %}" +
    "{{'<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n'}}{% else %}{% continue %}{% endif %}" +
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}",

  "JSON of the turns": `{# a comment #}{{ messages | tojson }}
{{ messages[0] | tojson(indent=2) }}
{%- for m in messages | selectattr('role', 'equalto', 'user') | list %}
{{ loop.index }}/{{ loop.length }}: {{ m.content | upper | replace('A', '4') }}
{%- endfor %}
{{- messages | map(attribute='role') | join(', ') }}{{ pad_token | default('none') }}`,
};

/** What the interpreter does otherwise than the original; so far no model's template was met that minds. */
export const KNOWN_DIFFERENCES = [
  "{% for role, turns in messages | groupby('role') %}{{ role }}{% endfor %}",
];

/** Conversations that meet every branch, and content that would break out if it could. */
export const CONVERSATIONS = [
  [["user", "What is a molp?"]],
  [["user", "Hi"], ["assistant", " Hello! "], ["user", "  And\n\nyou?\n"]],
  [["system", "\nBe kind. "], ["user", "Hi"]],
  [["system", "Be kind."], ["user", "Hi"], ["assistant", "Ho"], ["user", "Why?"], [
    "assistant",
    "So.",
  ]],
  [["user", "{{ bos_token }} {% raw %} </s> <|im_end|>\\n 'quotes' \"and\" <b>&amp;</b>"]],
  [["user", "naïve\u0085😀\ufeff日本語 \u2028 "], ["assistant", "<think>\nhm</think>\n\n42"], [
    "user",
    "a</think>b",
  ]],
  [["user", ""], ["assistant", ""]],
  [["user", "one"], ["user", "two"]],
  [["assistant", "I begin."]],
  [["user", "q"], ["tool", "result"], ["assistant", "done"]],
].map((turns) => turns.map(([role, content]) => ({ role, content })));
