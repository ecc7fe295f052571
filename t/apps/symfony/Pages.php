<?php
// SPDX-License-Identifier: Apache-2.0
// Pages from parts. {how} is ssi or esi; each controller says in a file that it was asked.
namespace App;

use Symfony\Component\HttpFoundation\RedirectResponse;
use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\HttpFoundation\Response;
use Symfony\Component\HttpKernel\Exception\NotFoundHttpException;
use Twig\Environment;

class Pages
{
    private $twig;

    public function __construct(Environment $twig)
    {
        $this->twig = $twig;
    }

    private function asked(string $what): void
    {
        file_put_contents(getenv('APP_ASKED'), "$what\n", FILE_APPEND | LOCK_EX);
    }

    /** A page for everybody, for an hour. */
    private function page(Request $request, string $template, array $with = []): Response
    {
        $this->asked($request->getPathInfo());
        $with['device'] = $request->headers->get('X-Device-Type', 'unknown');
        $response = new Response($this->twig->render("$template.html.twig", $with));
        return $response->setSharedMaxAge(3600)->setMaxAge(0);
    }

    public function shop(Request $request, string $how, int $n): Response
    {
        $response = $this->page($request, 'shop', ['how' => $how, 'n' => $n]);
        $response->headers->set('Cache-Tag', "shop-$n");
        return $response;
    }

    public function own(Request $request): Response
    {
        return $this->page($request, 'shop', ['how' => 'esi', 'n' => 0]);
    }

    public function mine(Request $request, string $how, int $n): Response
    {
        return $this->page($request, 'mine', ['how' => $how, 'n' => $n]);
    }

    public function failing(Request $request, string $how): Response
    {
        return $this->page($request, 'failing', ['how' => $how]);
    }

    public function inside(Request $request, string $how): Response
    {
        return $this->page($request, 'inside', ['how' => $how]);
    }

    public function both(Request $request): Response
    {
        return $this->page($request, 'both');
    }

    public function hinclude(Request $request): Response
    {
        return $this->page($request, 'hinclude');
    }

    /** Without parts: for strangers one page, for members each his own, which Symfony makes private. */
    public function hello(Request $request): Response
    {
        $this->asked('hello');
        $user = $request->hasPreviousSession() ? $request->getSession()->get('user') : 'stranger';
        return (new Response("<p>Hello $user</p>"))->setSharedMaxAge(3600)->setVary('Cookie');
    }

    // --- parts ------------------------------------------------------------------------

    /** For a second. Arguments and query have all that a URL may have to encode. */
    public function ticker(Request $request, string $say = ''): Response
    {
        $this->asked('ticker');
        $times = substr_count(file_get_contents(getenv('APP_ASKED')), "ticker\n");
        $response = new Response(sprintf('[ticker %d %s %s]', $times, htmlspecialchars($say),
                                         htmlspecialchars($request->query->get('q', ''))));
        $response->headers->set('Cache-Tag', 'ticker');
        return $response->setSharedMaxAge(1);
    }

    public function menu(Request $request): Response
    {
        $this->asked('menu');
        $response = new Response('[menu for ' . $request->headers->get('X-Device-Type', 'unknown') . ']');
        $response->headers->set('Cache-Tag', 'menu');
        return $response->setSharedMaxAge(3600);
    }

    /** A part that has parts. */
    public function frame(Request $request, string $how): Response
    {
        $this->asked('frame');
        return (new Response($this->twig->render('frame.html.twig', ['how' => $how])))->setSharedMaxAge(3600);
    }

    public function basket(Request $request): Response
    {
        $this->asked('basket');
        $user = $request->hasPreviousSession() ? $request->getSession()->get('user', 'nobody') : 'nobody';
        return (new Response("[basket of $user]"))->setPrivate();
    }

    public function broken(): Response
    {
        throw new NotFoundHttpException('no such part');
    }

    public function login(Request $request): Response
    {
        $request->getSession()->set('user', $request->request->get('user'));
        return new RedirectResponse('/ssi/mine/1');
    }
}
