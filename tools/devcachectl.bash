# SPDX-License-Identifier: Apache-2.0
# bash completion for devcachectl: what it offers is what devcachectl itself says of its verbs.
_devcachectl()
{
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]}

    if [[ $COMP_CWORD == 1 || ($COMP_CWORD == 2 && $verb == help) ]]; then
        COMPREPLY=($(compgen -W "help --version $(devcachectl --help |
            sed -n 's/^  devcachectl \([a-z]*\) .*/\1/p')" -- "$word"))
    elif [[ $previous == -[rf] || $previous == --root || $previous == --file ]]; then
        COMPREPLY=($(compgen -f -- "$word"))
    elif [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$(devcachectl help "$verb" 2>/dev/null |
            sed -n 's/^  \(-.\), \(--[a-z-]*\).*/\1 \2/p')" -- "$word"))
    fi
}
complete -F _devcachectl devcachectl
